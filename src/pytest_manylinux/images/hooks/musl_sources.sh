#!/bin/sh
# Fetch the upstream archives of Debian's source packages, for the build inside: apt from outside.
# Arguments: the root, then source packages. Each in its newest version whose archive the mirror has.
# Leaves /musl-build in the root: `versions` (package and version a line) and `archives` (package and file).
set -eu
root=$1
shift
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
folder=$PM_APT_CACHE/sources
mkdir -p "$folder" "$root/musl-build"
cd "$folder"
for source; do
    archive=
    for version in $(apt-cache showsrc --only-source "$source" | sed -n 's/^Version: //p' | sort -Vru); do
        apt-get source --download-only --tar-only "$source=$version" || continue
        upstream=${version#*:}
        archive=$(find "$PWD" -name "${source}_${upstream%-*}.orig.tar.*" ! -name '*.asc' | head -n 1)
        [ -z "$archive" ] || break
    done
    if [ -z "$archive" ]; then
        echo "E: Unable to locate package $source among the suite's sources" >&2
        exit 1
    fi
    echo "$source $version" >> "$root/musl-build/versions"
    echo "$source $archive" >> "$root/musl-build/archives"
done
