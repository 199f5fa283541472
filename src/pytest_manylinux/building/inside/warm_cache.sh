#!/bin/sh
# warm_cache.sh FOLDER: puts into zig's cache, ZIG_GLOBAL_CACHE_DIR, what zig made of its own libraries, from
# the folder that builds cannot write: files linked, lists copied. What is there already stays, hence no error.
# A file that differs was cut off when a build was killed, or is being written just now: with the list, which
# comes last, zig would take it for whole.
set -e
cache=$ZIG_GLOBAL_CACHE_DIR
for warm in "$1"/*/; do # `aside`, of unfinished ones, has no folder h itself
    warm=${warm%/}
    [ -d "$warm/h" ] || continue
    mkdir -p "$cache/b" "$cache/h" "$cache/o"
    (cd "$warm/o" && find . -type f) | while read -r file; do
        there=$cache/o/$file
        if [ -f "$there" ] && [ ! -L "$there" ] && ! cmp -s "$warm/o/$file" "$there"; then
            ln -s "$warm/o/$file" "$there.$$"
            mv -f "$there.$$" "$there"
        fi
    done
    cp -Rns "$warm/o/." "$cache/o/" || :
    cp -Rn "$warm/b/." "$cache/b/" || :
    cp -Rn "$warm/h/." "$cache/h/" || :
done
