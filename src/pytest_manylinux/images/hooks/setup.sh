#!/bin/sh
# Before apt runs: lay the base image in, use the shared package cache, reach the mirror as the host does.
set -eu
root=$1

if [ -n "${PM_BASE:-}" ]; then
    cp --archive "$root/etc/apt/sources.list" "$root/../sources.list"
    for entry in "$PM_BASE"/* "$PM_BASE"/.[!.]*; do
        [ -e "$entry" ] || [ -L "$entry" ] || continue
        # The devices are mmdebstrap's: it has made or will mount them.
        [ "${entry##*/}" = dev ] || cp --archive --reflink=auto "$entry" "$root/"
    done
    mv "$root/../sources.list" "$root/etc/apt/sources.list"
fi

for name in archives lists; do
    case $name in
        archives) inside=$root/var/cache/apt/archives ;;
        lists) inside=$root/var/lib/apt/lists ;;
    esac
    mkdir -p "$inside/partial" "$PM_APT_CACHE/$name/partial"
    mount --bind "$PM_APT_CACHE/$name" "$inside"
done

cp "$PM_APT_CONF" "$root/etc/apt/apt.conf.d/00pytest-manylinux"
