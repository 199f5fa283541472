#!/bin/sh
# Puts into zig's cache, ZIG_GLOBAL_CACHE_DIR, what zig made of its own libraries, from the folder that builds
# cannot write: lists copied, files linked. What is there already stays, hence no error.
set -e
cache=$ZIG_GLOBAL_CACHE_DIR
for warm in /scratch/kit/warm/*/; do # `aside`, of unfinished ones, has no folder h itself
    [ -d $warm/h ] || continue
    mkdir -p "$cache/b" "$cache/h" "$cache/o"
    cp -Rn $warm/b/. "$cache/b/" || :
    cp -Rn $warm/h/. "$cache/h/" || :
    cp -Rns $warm/o/. "$cache/o/" || :
done
