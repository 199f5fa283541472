"""What a bubblewrap sandbox is put together from, seen as arguments."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from pytest_manylinux.engines.api import Cache, Limits, Mount, SandboxSpec
from pytest_manylinux.engines.bubblewrap.mounts import isolation_arguments, mount_arguments
from pytest_manylinux.errors import SandboxError
from pytest_manylinux.model.distro import Image, ImageSource


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for folder in ("usr/bin", "usr/local/lib", "etc/ssl", "tmp", "proc", "dev", "sys"):
        (root / folder).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "etc/hosts").touch()
    (root / "etc/resolv.conf").symlink_to("../run/stub")
    return root


@pytest.fixture
def spec(root: Path) -> SandboxSpec:
    image = Image(
        digest="sha256:0", name="debian-12", source=ImageSource.ARCHIVE, arch="x86_64", root=str(root)
    )
    return SandboxSpec(image=image, limits=Limits(scratch=1000))


def operations(words: list[str]) -> list[tuple[str, ...]]:
    """The arguments, one operation each with what belongs to it."""
    found: list[list[str]] = []
    for word in words:
        if word.startswith("--"):
            found.append([word])
        else:
            found[-1].append(word)
    return [tuple(operation) for operation in found]


def test_top_level_of_the_root_is_bound_and_links_are_made_again(root: Path, spec: SandboxSpec) -> None:
    before, after = mount_arguments(root, spec)
    found = operations(before)
    assert ("--ro-bind", str(root / "usr"), "/usr") in found
    assert ("--ro-bind", str(root / "etc"), "/etc") in found
    assert ("--symlink", "usr/bin", "/bin") in found
    ours = {str(root / name) for name in ("proc", "dev", "sys", "tmp")}
    assert not [op for op in found if op[0] == "--ro-bind" and op[1] in ours]
    assert operations(after) == [("--remount-ro", "/")]


def test_only_caches_are_bound_writable(root: Path, spec: SandboxSpec, tmp_path: Path) -> None:
    mount = Mount(source=tmp_path, target=PurePosixPath("/inputs"))
    cache = Cache(source=tmp_path, target=PurePosixPath("/cache"))
    found = operations(mount_arguments(root, replace(spec, mounts=(mount,), caches=(cache,)))[0])
    assert [op for op in found if op[0] == "--bind"] == [("--bind", str(tmp_path), "/cache")]
    assert ("--ro-bind", str(tmp_path), "/inputs") in found


def test_both_writable_folders_share_the_size(root: Path, spec: SandboxSpec) -> None:
    found = operations(mount_arguments(root, spec)[0])
    sizes = {op[1]: before for before, op in itertools.pairwise(found) if op[0] == "--tmpfs"}
    assert sizes["/scratch"] == sizes["/tmp"] == ("--size", "500")  # noqa: S108


@pytest.mark.parametrize(
    ("target", "opened"),
    [
        ("/inputs", []),
        ("/inputs/deep/file", []),
        ("/etc/hosts", []),
        ("/scratch/in", []),
        ("/etc/new", ["/etc"]),
        ("/etc/resolv.conf", ["/etc"]),
        ("/usr/local/share/new/place", ["/usr/local"]),
        ("/usr/local/lib", []),
    ],
)
def test_a_folder_that_lacks_the_mount_point_is_opened(
    root: Path, spec: SandboxSpec, tmp_path: Path, target: str, opened: list[str]
) -> None:
    spec = replace(spec, mounts=(Mount(source=tmp_path, target=PurePosixPath(target)),))
    before, after = mount_arguments(root, spec)
    assert operations(after) == [
        *(("--remount-ro", folder) for folder in opened),
        ("--remount-ro", "/"),
    ]
    for folder in opened:
        entries = {str(Path(folder) / entry.name) for entry in (root / folder.strip("/")).iterdir()}
        made = {op[-1] for op in operations(before) if op[0] in {"--ro-bind", "--symlink", "--dir"}}
        assert entries <= made


def test_generated_files_want_a_place_too(root: Path, spec: SandboxSpec) -> None:
    assert operations(mount_arguments(root, spec, ["/etc/passwd"])[1])[0] == ("--remount-ro", "/etc")


def test_a_mount_through_a_link_of_the_image_is_refused(
    root: Path, spec: SandboxSpec, tmp_path: Path
) -> None:
    spec = replace(spec, mounts=(Mount(source=tmp_path, target=PurePosixPath("/bin/new")),))
    with pytest.raises(SandboxError, match="/bin is a link"):
        mount_arguments(root, spec)


def test_a_root_that_is_gone(spec: SandboxSpec, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="is not there"):
        mount_arguments(tmp_path / "none", spec)


def test_the_network_is_shared_only_when_asked_for(spec: SandboxSpec) -> None:
    assert "--share-net" not in isolation_arguments(spec)
    assert "--share-net" in isolation_arguments(replace(spec, network=True))
