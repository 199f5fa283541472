#!/bin/sh
# abi3audit 0.0.26 calls the module export hook of Python 3.15 no part of the stable ABI, and takes no abi3t file.
#
# Python 3.15 finds an extension module by `PyModExport_NAME` (PEP 793), which a module of the limited API may offer in
# place of `PyInit_NAME`; and it has a stable ABI for free-threaded builds, tag and suffix `abi3t` (PEP 803). One expects
# an auditor of the stable ABI to let a module pass that exports the hook and nothing else, as it lets `PyInit_NAME`
# pass, and to look into `.abi3t.so` files. The first is told as a violation of the ABI, exit code 1; the second as "not
# abi3 tagged?", and nothing in the wheel is audited.
#
# Wants: gcc, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -q --disable-pip-version-check abi3audit==0.0.26 abi3info==2026.9.25 wheel==0.45.1
PATH=$folder/tools/bin:$PATH

# Both hooks as they look from outside: functions of these names that give a pointer.
for hook in PyInit PyModExport; do
  echo "static void *slots[2]; void *${hook}_demo(void) { return slots; }" >"$hook.c"
  gcc -shared -fPIC "$hook.c" -o "$hook.so"
done

make_wheel() { # library, name in the wheel, ABI tag
  rm -rf tree && mkdir -p tree/demo-1.0.dist-info
  cp "$1" "tree/$2"
  printf 'Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n' >tree/demo-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp315-%s-linux_%s\n' \
    "$3" "$(uname -m)" >tree/demo-1.0.dist-info/WHEEL
  wheel pack -d . tree >words
}

audit() { # ABI tag
  wheel=demo-1.0-cp315-$1-linux_$(uname -m).whl
  if abi3audit --strict --report "$wheel" >report 2>words; then code=0; else code=$?; fi
  echo "exit code $code: $(cat report)"
  tr -s ' \n' ' ' <words | grep -o 'auditing error.*tagged?' || true
}

python --version
echo "abi3audit $(pip list --disable-pip-version-check 2>/dev/null | awk '/^abi3audit/ {print $2}')"
echo "-- demo.abi3.so with PyInit_demo"
make_wheel PyInit.so demo.abi3.so abi3; audit abi3; first=$code
echo "-- demo.abi3.so with PyModExport_demo"
make_wheel PyModExport.so demo.abi3.so abi3; audit abi3; second=$code
grep -q '"name": "PyModExport_demo"' report && second="$second named"
echo "-- demo.abi3t.so with PyInit_demo"
make_wheel PyInit.so demo.abi3t.so abi3t; audit abi3t
third=taken
if tr -s ' \n' ' ' <words | grep -q 'not abi3 tagged'; then third=refused; fi
echo "expected: nothing to say of the three"
[ "$first/$second/$third" = "0/1 named/refused" ]
