"""Installing Python into official images: every row's commands, and package managers that Debian has.

The rows' commands run in a real root, on stand-ins that take what each manager's manual has and
nothing else (tests/support/stand_in_manager.py): no archive but Debian's can be reached. With
`-m managers`, dnf, dnf5, zypper and pacman as Debian packages them install from repositories on
this machine's disk, in containers; that wants `dockerd` and `containerd` (Debian: docker.io).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import docker
import pytest
from engine_daemons import docker_daemon
from saved_images import traces_in
from stand_in_manager import MANUALS, USAGE

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import SCRATCH, Cache, Command, Engine, Mount, Sandbox, SandboxSpec
from pytest_manylinux.engines.container.engine import reference_of
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import ImageError
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.images.derive import PACKAGES, derive, inspect
from pytest_manylinux.images.provision import CA_INSIDE, ProvisionPlan, provision_plan
from pytest_manylinux.model.distro import Image, ImagePurpose
from pytest_manylinux.model.packages import PackageManager

pytestmark = pytest.mark.integration

CATALOGUE = load_catalogue()
# Every row's, and each once: (manager, suite, packages) -> the distros that have it.
PLANS: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
for _distro in CATALOGUE.distros:
    for _entry in _distro.interpreters:
        _packages = tuple(sorted({*_entry.packages, *_entry.headers}))
        if _packages:
            PLANS.setdefault((_distro.package_manager, _distro.target_release, _packages), []).append(
                _distro.id
            )
SECRET, AUTHORITY = "sesame-of-the-proxy", "authority-of-the-user"
PROXY = {"https_proxy": f"http://someone:{SECRET}@127.0.0.1:9"}
SETTINGS = "[main]\ngpgcheck=1\n"
PROGRAMS = SCRATCH / "managers"
STAND_IN = Path(__file__).parents[1] / "support/stand_in_manager.py"
LINKS = 'mkdir "$1"; cd "$1"; shift; for name; do ln -s /scratch/stand_in.py "$name"; done'


def root_of(distro: str, *packages: str) -> Image:
    row = CATALOGUE.get(distro)
    purpose = ImagePurpose.BUILD if packages else ImagePurpose.TRIAL
    return ArchiveImages(ImageStore()).provide(
        row, "x86_64", purpose, packages, interpreter=row.interpreters[0]
    )


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = select_engine("bubblewrap")
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def sandbox(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A Debian root whose package managers are stand-ins, without the lists and logs of its own."""
    folder = tmp_path_factory.mktemp("root")
    for name in ("lists", "log/packages", "dnf"):
        (folder / name).mkdir(parents=True)
    (folder / "dnf/dnf.conf").write_text(SETTINGS)
    places = {
        folder / "lists": "/var/lib/apt/lists",
        folder / "log": "/var/log",
        STAND_IN: "/scratch/stand_in.py",
    }
    mounts = (Mount(source=source, target=PurePosixPath(target)) for source, target in places.items())
    settings = Cache(source=folder / "dnf", target=PurePosixPath("/etc/dnf"))  # may be written to
    spec = SandboxSpec(image=root_of("debian-13"), mounts=tuple(mounts), caches=(settings,))
    with engine.open(spec) as sandbox:
        run(sandbox, "sh", "-e", "-c", LINKS, "sh", str(PROGRAMS), *MANUALS)
        yield sandbox


def run(sandbox: Sandbox, *argv: str, environment: dict[str, str] | None = None) -> str:
    path = {"PATH": f"{PROGRAMS}:/usr/bin:/bin"}
    done = sandbox.exec(Command(argv=argv, environment={**path, **(environment or {})}))
    assert done.ok, (argv, done.exit_code, done.stderr)
    return done.stdout.decode()


def install(sandbox: Sandbox, plan: ProvisionPlan) -> list[str]:
    """What is installed when the plan's commands have run."""
    run(sandbox, "rm", "-f", f"{PROGRAMS}/installed")
    for command in plan.commands:
        run(sandbox, *command, environment=dict(plan.environment))
    listed = run(sandbox, *plan.listing, environment=dict(plan.environment))
    return (listed or run(sandbox, "cat", f"{PROGRAMS}/installed")).split()


@pytest.mark.parametrize(
    ("manager", "suite", "packages"),
    PLANS,
    ids=[f"{name}-{ids[0]}" for (name, _, _), ids in PLANS.items()],
)
def test_the_commands_of_every_row_run(
    sandbox: Sandbox, manager: str, suite: str, packages: tuple[str, ...]
) -> None:
    plan = provision_plan(manager, packages, release=suite, ca_bundle="/etc/hostname", proxies=PROXY)
    assert install(sandbox, plan) == list(packages)
    assert run(sandbox, "cat", "/etc/dnf/dnf.conf") == SETTINGS


@pytest.mark.parametrize("name", sorted(MANUALS))
def test_the_stand_ins_are_strict(sandbox: Sandbox, name: str) -> None:
    for words in (["--unheard-of"], ["unheard-of"], []):
        command = Command(argv=(f"{PROGRAMS}/{name}", *words), environment=PROXY)
        assert sandbox.exec(command).exit_code == USAGE, words


def test_every_manager_has_a_stand_in() -> None:
    plans = [provision_plan(manager.value, ("xz",)) for manager in PackageManager]
    assert {plan.commands[0][0] for plan in plans} == MANUALS.keys() - {"dpkg-query", "rpm"}


@pytest.mark.parametrize("distro", ["debian-11", "debian-12", "debian-13", "debian-testing"])
def test_apt_of_every_debian_knows_the_words(engine: Engine, distro: str) -> None:
    """Each release's own apt-get, without its archive: it has nothing to fetch for what is there."""
    packages = CATALOGUE.get(distro).interpreters[0].packages
    plan = provision_plan("apt", packages, ca_bundle="/etc/hostname")
    with engine.open(SandboxSpec(image=root_of(distro))) as sandbox:
        (install,) = (command for command in plan.commands if "install" in command)
        words = run(sandbox, install[0], "--simulate", *install[1:])
        assert "0 newly installed" in words
        assert "python3-venv" in run(sandbox, *plan.listing)


# The managers themselves, each with a repository of packages that have nothing in them, of which
# the first recommends the last.

WANTED, WEAK = ("acme-pip", "acme-python"), "acme-weak"
OF_RPM = """
mkdir -p /srv/rpm /etc/yum.repos.d /etc/zypp/repos.d
for name in acme-python acme-pip acme-weak; do
  {
    printf '%s\\n' "Name: $name" 'Version: 1' 'Release: 1' 'Summary: empty' 'License: MIT'
    test $name != acme-python || echo 'Recommends: acme-weak'
    printf '%s\\n' 'BuildArch: noarch' '%description' empty '%files'
  } > /tmp/$name.spec
  rpmbuild -bb --define '_rpmdir /srv/rpm' /tmp/$name.spec
done
createrepo_c /srv/rpm
printf '%s\\n' '[acme]' name=acme baseurl=file:///srv/rpm enabled=1 gpgcheck=0 > /tmp/acme.repo
cp /tmp/acme.repo /etc/yum.repos.d
cp /tmp/acme.repo /etc/zypp/repos.d
"""
OF_PACMAN = """
mkdir -p /srv/pacman
for name in acme-python acme-pip acme-weak; do
  printf '%s\\n' "pkgname = $name" 'pkgver = 1-1' 'pkgdesc = empty' 'arch = any' > /tmp/.PKGINFO
  tar -C /tmp -czf /srv/pacman/$name-1-1-any.pkg.tar.gz .PKGINFO
done
repo-add /srv/pacman/acme.db.tar.gz /srv/pacman/*.pkg.tar.gz
printf '%s\\n' '[options]' 'Architecture = auto' 'SigLevel = Never' > /etc/pacman.conf
printf '%s\\n' '[acme]' 'Server = file:///srv/pacman' >> /etc/pacman.conf
"""
RPM = ("createrepo-c", "rpm")
REAL = {
    "dnf": ("debian-13", ("dnf", *RPM), OF_RPM),
    "dnf5": ("debian-unstable", ("dnf5", *RPM), OF_RPM),
    "zypper": ("debian-13", ("zypper", *RPM), OF_RPM),
    "pacman": ("debian-13", ("libarchive-tools", "makepkg", "pacman-package-manager"), OF_PACMAN),
}


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    with (
        tempfile.TemporaryDirectory(prefix="managers-", ignore_cleanup_errors=True) as folder,
        docker_daemon(Path(folder)) as address,
    ):
        client = docker.DockerClient(base_url=address, timeout=600)
        yield client
        client.close()


@pytest.mark.managers
@pytest.mark.parametrize("manager", sorted(REAL))
def test_the_managers_themselves(client: docker.DockerClient, tmp_path: Path, manager: str) -> None:
    """What is asked for is installed and nothing besides; proxy and certificates leave no trace."""
    distro, programs, script = REAL[manager]
    container = client.containers.create(
        reference_of(client, root_of(distro, *programs)),
        ["sh", "-e", "-c", script],
        network_mode="none",
    )
    container.start()
    assert container.wait()["StatusCode"] == 0, container.logs().decode()
    base = str(container.commit(f"acme/{manager}").id)
    bundle = tmp_path / "ca.pem"
    bundle.write_text(f"# {AUTHORITY}\n")
    made = f"acme/{manager}:made"
    for packages in (("no-such-package",), WANTED):
        plan = provision_plan(manager, packages, ca_bundle=CA_INSIDE, proxies=PROXY)
        if packages == WANTED:
            derive(client.api, base, plan, made, title=manager, ca_bundle=bundle)
        else:
            with pytest.raises(ImageError, match="exit code"):
                derive(client.api, base, plan, made, title=manager, ca_bundle=bundle)
    assert inspect(client.api, made)["Config"]["Labels"][PACKAGES].startswith("sha256:")
    listed = client.containers.run(made, list(plan.listing), network_mode="none").decode()
    assert all(name in listed for name in WANTED)
    assert WEAK not in listed
    assert traces_in(client, made, [SECRET, AUTHORITY, "acme-pip"]) == {"acme-pip"}
