"""Runs in processes of their own that open sandboxes as they are told, and can be killed meanwhile."""

from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_manylinux.engines.api import Command, Mount, Sandbox, SandboxSpec
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import EngineError

INPUTS = PurePosixPath("/inputs")


@dataclass
class Run:
    """A run of the engine `name`. What it mounts lies in `folder`, which no other run has."""

    name: str
    spec: SandboxSpec
    folder: Path
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        argument = base64.b64encode(pickle.dumps((self.name, self.spec, str(self.folder)))).decode()
        self.process = subprocess.Popen(
            [sys.executable, __file__, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert self._answer() == {"is": "up"}

    def tell(self, **order: object) -> None:
        """Give an order, and do not wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps(order)}\n")
        self.process.stdin.flush()

    def ask(self, **order: object) -> dict[str, Any]:
        """Give an order and wait for the answer: what `_do` gives, or the name of an error of ours."""
        self.tell(**order)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the run ended with {self.process.wait(timeout=60)}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> int:
        """Let it end as a run does; the exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait(timeout=120)
        self.process.stdout.close()
        return code

    def kill(self) -> None:
        """SIGKILL: nothing of it can tidy up."""
        self.process.send_signal(signal.SIGKILL)
        self.end()


def _do(sandboxes: dict[str, Sandbox], order: dict[str, Any]) -> dict[str, Any]:
    sandbox = sandboxes[order["box"]]
    match order["do"]:
        case "exec":
            command = Command(argv=("sh", "-c", order["script"]), timeout=order.get("timeout", 120.0))
            done = sandbox.exec(command)
            return {"status": done.status.value, "code": done.exit_code, "said": done.stdout.decode()}
        case "put":
            sandbox.copy_in(Path(order["source"]), PurePosixPath(order["target"]))
        case "get":
            sandbox.copy_out(PurePosixPath(order["source"]), Path(order["target"]))
        case _:
            sandboxes.pop(order["box"]).close()
    return {"is": "done"}


def main(argument: str) -> None:
    """Do as told on standard input, a line each, until it ends; then end as a run does."""
    name, spec, folder = pickle.loads(base64.b64decode(argument))  # noqa: S301 - from the test itself
    spec = SandboxSpec(
        image=spec.image, mounts=(Mount(source=Path(folder), target=INPUTS),), label="states"
    )
    engine, sandboxes = select_engine(name), dict[str, Sandbox]()
    print(json.dumps({"is": "up"}), flush=True)  # noqa: T201 - a program too
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if order["do"] == "open":
                sandboxes[order["box"]] = engine.open(spec)
                answer = {"is": "done"}
            else:
                answer = _do(sandboxes, order)
        except EngineError as error:
            answer = {"error": type(error).__name__, "what": str(error)}
        print(json.dumps(answer), flush=True)  # noqa: T201
    engine.close()


if __name__ == "__main__":
    main(sys.argv[1])
