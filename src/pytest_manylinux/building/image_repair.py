"""Repair by a builder image's own auditwheel, whatever its release."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from pytest_manylinux.building.pip_wheel import BUILT, NO_BYTECODE, PipWheel
from pytest_manylinux.building.repair import (
    FIND_LIBRARIES,
    NOT_FOUND,
    PURELIB,
    last_sentence,
    words_of,
)
from pytest_manylinux.engines.api import SCRATCH, Completed
from pytest_manylinux.errors import BuildError
from pytest_manylinux.model.policy import Policy
from pytest_manylinux.model.wheel import WheelFacts

REPAIRED: PurePosixPath = SCRATCH / "repaired"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRepair:
    """Repairs the wheel in BUILT for one policy, one that the image's auditwheel knows."""

    maker: PipWheel
    policy: Policy
    arch: str

    def run(self, facts: WheelFacts) -> None:
        """Put the repaired wheel into REPAIRED; raises BuildError saying what stands against it."""
        name = facts.wheel.filename
        done = self._auditwheel(name, library_path="")
        if not done.ok and NOT_FOUND.search(words_of(done)):
            found = self.maker.run("looking for libraries", "sh", "-c", FIND_LIBRARIES)
            done = self._auditwheel(name, library_path=found.stdout.decode().strip())
        if not done.ok:
            raise self._failure(facts, words_of(done))

    def _auditwheel(self, name: str, *, library_path: str) -> Completed:
        """Beside folders of the build, the image's own LD_LIBRARY_PATH stays."""
        own = self.maker.layout.environment.get("LD_LIBRARY_PATH", "")
        path = ":".join(filter(None, (library_path, own)))
        plat = f"{self.policy.name}_{self.arch}"
        return self.maker.run(
            f"repairing for {self.policy}",
            *("auditwheel", "repair", "--only-plat", "--plat", plat, "-w", str(REPAIRED)),
            str(BUILT / name),
            # without the project's environment, in which another auditwheel may be
            more={
                **self.maker.layout.environment,
                **NO_BYTECODE,
                **({"LD_LIBRARY_PATH": path} if path else {}),
            },
        )

    def _failure(self, facts: WheelFacts, words: str) -> BuildError:
        bench, image = self.maker.bench, self.maker.layout.image.name
        log = f"the whole log is {bench.log.path}"
        if missing := NOT_FOUND.search(words):
            needed_by = next((file.path for file in facts.elf if missing[1] in file.needed), "")
            return BuildError(
                f"{bench.what}: {missing[1]} is needed and nowhere to be found, so it cannot be put in",
                why=f"{needed_by or 'a library that is to be put in'} needs it",
                remedy=f"let before-build make it; {log}",
                finding="missing-library",
            )
        return BuildError(
            f"{bench.what}: auditwheel of {image} cannot repair the wheel for {self.policy}",
            why=last_sentence(words),
            remedy=log,
            finding="elf-in-purelib" if PURELIB in words else "build-failed",
        )
