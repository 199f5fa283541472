"""The venv of a trial is the one that the distro's own `python3 -m venv` makes, on each distro."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Command, Engine, SandboxSpec
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.model.distro import ImagePurpose
from pytest_manylinux.trials.request import VENV
from pytest_manylinux.trials.venv import _PROGRAM

pytestmark = pytest.mark.integration

COMPARED = r"""
import json, marshal, os, stat, sys

def tree(top):
    found = {}
    for parent, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            found[os.path.relpath(path, top)] = (status.st_mode, content(path, status))
    return found

def content(path, status):
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return ""
    with open(path, "rb") as file:
        data = file.read()
    if not path.endswith(".pyc"):
        return data
    folder, name = os.path.split(path)
    source = os.stat(os.path.join(os.path.dirname(folder), name.split(".")[0] + ".py"))
    fits = int.from_bytes(data[8:12], "little") == int(source.st_mtime)
    code = marshal.loads(data[16:])
    return data[:8], fits, data[12:16], names(code), code

def names(code):
    inner = [one for one in code.co_consts if hasattr(one, "co_code")]
    return [code.co_filename] + [name for one in inner for name in names(one)]

ours, plain = map(tree, sys.argv[1:])
sys.path.insert(0, "/tmp/trial")
import make_venv
sources = [os.path.join(sys.argv[2], path) for path in plain if path.endswith(".py")]
lent = [path for path in sources if make_venv.lent(make_venv.sites(), path)]
unlike = sorted(path for path in set(ours) | set(plain) if ours.get(path) != plain.get(path))
print(json.dumps({"files": len(sources), "lent": len(lent), "unlike": unlike}))
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = select_engine("bubblewrap")
    yield engine
    engine.close()


@pytest.mark.parametrize("distro_id", ["debian-11", "debian-12", "debian-13", "debian-testing"])
def test_the_venv_is_the_distros_own_file_by_file(distro_id: str, engine: Engine) -> None:
    distro = load_catalogue().get(distro_id)
    python = distro.interpreters[0]
    image = ArchiveImages(ImageStore()).provide(
        distro, "x86_64", ImagePurpose.TRIAL, interpreter=python
    )
    place, program = str(VENV), _PROGRAM
    steps = (
        (python.executable, str(program.target), place),
        ("mv", place, "/scratch/ours"),
        (python.executable, "-m", "venv", place),
        (python.executable, "-c", COMPARED, "/scratch/ours", place),
    )
    with engine.open(SandboxSpec(image=image, mounts=(program,))) as sandbox:
        done = [sandbox.exec(Command(argv=argv)) for argv in steps]
    assert all(one.ok for one in done), done
    found = json.loads(done[-1].stdout)
    assert not found["unlike"]
    assert found["lent"] > 0.6 * found["files"] > 120, found  # Debian 11 has some in wheels alone
