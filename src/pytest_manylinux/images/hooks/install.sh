#!/bin/sh
# Grow the base image by the packages that are named: apt from outside, dpkg inside.
set -eu
root=$1
shift
# Pattern-Only: apt-get would take an unknown name with a dot for a regular expression.
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get --yes \
    -oDir::Bin::dpkg=env -oDPkg::Options::=--unset=TMPDIR -oDPkg::Options::=dpkg \
    -oDPkg::Chroot-Directory="$root" -oAPT::Cmd::Pattern-Only=true install -- "$@"
