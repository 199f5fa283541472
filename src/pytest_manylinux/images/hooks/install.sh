#!/bin/sh
# Grow the base image: apt from outside, dpkg inside.
set -eu
root=$1
# shellcheck disable=SC2086  # package names are words
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get --yes \
    -oDir::Bin::dpkg=env -oDPkg::Options::=--unset=TMPDIR -oDPkg::Options::=dpkg \
    -oDPkg::Chroot-Directory="$root" install $PM_PACKAGES
