#!/bin/sh
# Leave nothing of the host behind: its cache, its proxies and logins, its resolver, its name.
set -eu
root=$1
umount "$root/var/cache/apt/archives" "$root/var/lib/apt/lists"
rm -f "$root/etc/apt/apt.conf.d/00pytest-manylinux" "$root"/var/cache/apt/*.bin
sed -i 's,://[^/@ ]*@,://,' "$root/etc/apt/sources.list"
: > "$root/etc/resolv.conf"
: > "$root/etc/hostname"
# Every installed system and every container has it, and no package brings it.
[ -e "$root/etc/hosts" ] || printf "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n" > "$root/etc/hosts"
