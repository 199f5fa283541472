#!/bin/sh
# maturin 1.16.0 tags a wheel by the module that it built: a library of the package that needs glibc 2.36 does not count.
#
# A package of Rust and Python may carry a prebuilt shared library among its Python files (`python-source`), which it loads by
# ctypes or links to. maturin checks for manylinux by itself ("auditwheel" in its manual), and refuses a build whose Rust
# code needs more than `--compatibility` says, so that one leaves auditwheel out.
# One expects that check to be of the whole wheel: each ELF file has to load where the tag says. With a library that asks
# GLIBC_2.36 the wheel is called manylinux2014, exit code 0 and no word; pip installs it on glibc 2.17, where the library
# does not load. auditwheel 6.8.2 says manylinux_2_36 of the same file.
#
# Wants: Linux on x86_64, cargo with its own target, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  maturin==1.16.0 ziglang==0.17.1 cffi==2.1.1 auditwheel==6.8.2 pyelftools==0.33
PATH=$folder/tools/bin:$PATH

mkdir -p project/src project/python/sample
cd project
cat >Cargo.toml <<'END'
[package]
name = "sample"
version = "1.0.0"
edition = "2021"

[lib]
crate-type = ["cdylib"]
END
echo '#[no_mangle] pub extern "C" fn five() -> i32 { 5 }' >src/lib.rs
cat >pyproject.toml <<'END'
[build-system]
requires = ["maturin == 1.16.0"]
build-backend = "maturin"

[project]
name = "sample"
version = "1.0.0"
dependencies = ["cffi"]

[tool.maturin]
bindings = "cffi"
python-source = "python"
module-name = "sample._native"
END
echo '' >python/sample/__init__.py
echo 'extern unsigned arc4random(void); unsigned any(void) { return arc4random(); }' >library.c
python -m ziglang cc -target x86_64-linux-gnu.2.36 -shared -o python/sample/libprebuilt.so library.c

maturin build --quiet --offline --zig --compatibility manylinux2014 --out out >words 2>&1 && code=0 || code=$?
echo "$(maturin --version), $(cargo --version | cut -d' ' -f1,2)"
echo "maturin: exit code $code, $(basename out/*.whl)"
python -m zipfile -l out/*.whl | awk '/\.so/ { print "  " $1 }'
auditwheel show out/*.whl 2>/dev/null | tr '\n' ' ' | grep -o 'following *platform tag: "[^"]*"' | tee audited
echo 'expected: a refusal, or a tag of glibc 2.36'
[ "$(basename out/*.whl) $code" = 'sample-1.0.0-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl 0' ]
grep -q '"manylinux_2_36_x86_64"' audited
