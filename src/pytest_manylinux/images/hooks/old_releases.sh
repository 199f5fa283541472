#!/bin/sh
# For apt in a container: sources of the archive of old releases, in files that no image keeps.
# Arguments: the origin; the archive's URL, or nothing to derive it; the name of its host in the
# distribution's domain; the variable that names it; then a suite and its components, for each suite.
set -eu
origin=$1 url=$2 host=$3 variable=$4
shift 4
folder=/dev/shm/pytest-manylinux-apt
rm -rf "$folder"
mkdir -p "$folder/parts"
if [ -z "$url" ]; then
    url=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
        sed -nE "s,^[^#]*https?://([[:alnum:]-]+\\.)+($origin\\.[a-z]+)/.*,http://$host.\\2/$origin,p" |
        head -n 1)
fi
if [ -z "$url" ]; then
    echo "E: no archive of old $origin releases is known here; name one in $variable" >&2
    exit 1
fi
keys=
for key in /usr/share/keyrings/"$origin"-archive-*.gpg; do
    [ ! -f "$key" ] || keys=${keys:+$keys,}$key
done
for line; do
    base=$url
    # Debian's security suites are in an archive of their own, beside the other one.
    case $line in
        *-security\ * | */updates\ *) base=$(echo "$url" | sed "s,/debian\$,/debian-security,") ;;
    esac
    echo "deb ${keys:+[signed-by=$keys] }$base $line" >> "$folder/sources.list"
done
cat "$folder/sources.list"
