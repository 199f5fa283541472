"""What an importing interpreter runs: as near to `python -c "import NAME"` as can be.

Nothing of ours imports it: the agent hands this text to the trial's interpreter by `-c`. Python 3.6 or
later. Only modules that every interpreter loads by itself are used before the import, so that a wheel
that forgets an import of its own is not helped; what the report needs is held from before, since the
code under import may replace it. The report goes through a named pipe that is opened only once the
import has ended: a package that closes all descriptors, or writes to all of them, neither breaks nor
forges it.

Asked for more names, all inside the first, it imports each in a fork once the first is there and
reported: `import a.b` begins with `import a` in any interpreter, and `import a.b.c` with `import a.b`
after that, which is done in one fork for all names inside `a.b`. A name may be an object reference,
`module:attribute`: the attribute is looked up, and must be callable. Only successes are told of them; a
failure may be the fork's fault, so the agent tries such a name again in an interpreter of its own.
"""

import builtins
import os
import sys

LONGEST_CHAIN = 20
LONGEST_FORK = 20  # seconds; and for all forks together
FORKS_AT_ONCE = 2
F_LOCK = 1  # lockf(3); a Python without forks need not have it
FIELDS_OF_A_FILE = 6  # of a line in /proc/self/maps that has a path (proc(5))


def do_nothing(*_: object) -> int:
    """Stand for a call that this Python does not have."""
    return 0


class Importer:
    """One import, and the report on it. Everything it calls is taken before the import."""

    modules = sys.modules
    load = staticmethod(builtins.__import__)
    open_file = staticmethod(builtins.open)
    open = staticmethod(os.open)
    write = staticmethod(os.write)
    close = staticmethod(os.close)
    leave = staticmethod(os._exit)
    process = staticmethod(os.getpid)
    fork = staticmethod(getattr(os, "fork", do_nothing))
    can_fork = hasattr(os, "fork")  # GraalPy, of many threads, cannot
    wait = staticmethod(os.waitpid)
    lock = staticmethod(getattr(os, "lockf", do_nothing))
    kill = staticmethod(os.kill)
    has_gil = staticmethod(getattr(sys, "_is_gil_enabled", lambda: True))  # since 3.13
    known = frozenset()  # type: frozenset[str]

    def __init__(self) -> None:
        """Read token, pipe and name from standard input, and close it as a user's would be."""
        words = b""
        more = b"."
        while more:
            more = os.read(0, 4096)
            words += more
        self.had_gil = self.has_gil()
        self.token, self.path, self.name, *self.more = words.decode().split("\n")
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        sys.argv[:] = ["-c"]

    def run(self) -> None:
        """Import and report; after a success the interpreter ends by itself, as a user's would."""
        try:
            module = self.name.partition(":")[0]
            self.load(module)
            if module not in self.modules:
                raise ImportError(f"{module!r} left nothing in sys.modules")  # noqa: TRY301
            self.look_up(self.name)
        except BaseException as error:  # noqa: BLE001 -- whatever ends an import is reported
            self.report(refused(error))
            self.leave(1)
        self.report({"status": "ok", "inner": self.inner(), "file": self.file_of(self.name)})
        if self.can_fork and self.waiting(self.more):
            try:  # noqa: SIM105 -- contextlib is not loaded by itself
                self.watch_forks()
            except BaseException:  # noqa: BLE001, S110 -- the import is over, and was told
                pass

    def look_up(self, reference: str) -> None:
        """Find the object of `module:attribute.attribute`, as the programs that installers write do.

        They say `from module import attribute` first, which also takes a submodule, and imports it.
        """
        module, colon, attributes = reference.partition(":")
        if not colon:
            return
        first, *rest = attributes.split(".")
        self.load(module, {}, {}, [first])
        found = getattr(self.modules[module], first)  # type: object
        for attribute in rest:
            found = getattr(found, attribute)
        if not callable(found):
            raise TypeError(f"{reference} is not callable: {type(found).__name__}")

    def file_of(self, name: str) -> str:
        """The file that a module came from, or `built-in`; empty if it does not tell."""
        try:
            module = self.modules[name.partition(":")[0]]
            spec = getattr(module, "__spec__", None)
            file = getattr(spec, "origin", None) or getattr(module, "__file__", None)
            return (
                os.path.realpath(file) if isinstance(file, str) and os.sep in file else str(file or "")
            )
        except BaseException:  # noqa: BLE001 -- a module may be anything
            return ""

    def watch_forks(self) -> None:
        """Have a fork see to the other names, and end it if it takes too long."""
        import signal
        import time

        process = self.fork()
        if process == 0:
            try:
                self.run_forks()
            finally:
                self.leave(1)
        end = time.monotonic() + LONGEST_FORK
        while self.wait(process, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                self.kill(process, signal.SIGKILL)
            time.sleep(0.002)

    def run_forks(self) -> None:
        """Import the other names, and end; forks report what they loaded besides."""
        self.known = frozenset(self.loaded())
        self.try_names(self.more)
        self.leave(0)

    def try_names(self, names: "list[str]") -> None:
        """Import each of the names that are not there yet in a fork, or its packages before it.

        Names that wait for the same package share one fork, in which that is imported once.
        """
        waiting = self.waiting(names)
        running = []  # type: list[int]
        while waiting:
            missing = self.first_missing(waiting[0])
            group = [name for name in waiting if name.startswith((f"{missing}.", f"{missing}:"))]
            group += [name for name in waiting if name == missing]
            waiting = [name for name in waiting if name not in group]
            while len(running) == FORKS_AT_ONCE:
                ended = self.wait(-1, 0)[0]  # or something that the import has left running
                running = [one for one in running if one != ended]
            process = self.fork()
            if process == 0:
                try:
                    self.run_fork(missing, group)
                finally:
                    self.leave(1)
            running.append(process)
        for process in running:
            self.wait(process, 0)

    def waiting(self, names: "list[str]") -> "list[str]":
        """Those of the names that are not there yet."""
        return [name for name in names if ":" in name or name not in self.modules]

    def first_missing(self, name: str) -> str:
        """The outermost package of a name, or else its module, that is not imported yet."""
        parts = name.partition(":")[0].split(".")
        outer = [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
        return next((one for one in outer if one not in self.modules), outer[-1])

    def run_fork(self, missing: str, names: "list[str]") -> None:
        """Import one package or module in this fork, then the names inside that it did not bring."""
        import signal
        import time

        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST_FORK)
        started = time.monotonic()
        self.load(missing)
        if missing in self.modules:
            duration = time.monotonic() - started
            self.report({"status": "ok", "name": missing, "inner": self.inner(), "duration": duration})
            references = [name for name in names if name.startswith(f"{missing}:")]
            self.try_names([name for name in names if name not in references])
            for reference in references:
                self.look_up(reference)
                self.report({"status": "ok", "name": reference, "inner": {}})
        self.leave(0)

    def inner(self) -> "dict[str, str]":
        """The extension modules inside the name, and others that are asked for, with their files."""
        files = {key: getattr(module, "__file__", None) for key, module in list(self.modules.items())}
        inside = {key: file for key, file in files.items() if key.startswith(f"{self.name}.")}
        asked = frozenset(self.more)
        return {
            key: file
            for key, file in inside.items()
            if isinstance(file, str) and (".so" in file or key in asked)
        }

    def report(self, found: "dict[str, object]") -> None:
        """Send what was found, with the files that are mapped into this process, as a literal."""
        found.update(pid=self.process(), loaded=self.loaded())
        # A module that does not declare Py_mod_gil turns the GIL of a free-threaded Python on, for the
        # rest of the process; the warning of it may be filtered, or lost in a fork.
        had_gil, self.had_gil = self.had_gil, self.has_gil()
        if self.had_gil and not had_gil:
            found["gil"] = True
        channel = self.open(self.path, os.O_WRONLY)
        self.lock(channel, F_LOCK, 0)  # until it is closed: forks report side by side
        rest = f"\n{self.token} {found!a}\n".encode("ascii")
        while rest:
            rest = rest[self.write(channel, rest) :]
        self.close(channel)

    def loaded(self) -> "list[str]":
        """The paths in /proc/self/maps, but for those known before."""
        with self.open_file("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            lines = [line.rstrip("\n").split(None, FIELDS_OF_A_FILE - 1) for line in maps]
        paths = {line[-1] for line in lines if len(line) == FIELDS_OF_A_FILE}
        return sorted(path for path in paths - self.known if path[0] == "/")


def refused(error: BaseException) -> "dict[str, object]":
    """Describe an exception, or the SystemExit, that ended the import."""
    import traceback

    frames = error.__traceback__.tb_next if error.__traceback__ else None
    found = {
        "status": "raised",
        "exception": type(error).__name__,
        "message": str(error)[:4000],
        "traceback": "".join(traceback.format_exception(type(error), error, frames))[-30000:],
        "chain": chain(error),
    }  # type: dict[str, object]
    if isinstance(error, ModuleNotFoundError):
        found["missing"] = error.name
    if isinstance(error, SystemExit):
        context = error.__context__
        found["missing"] = context.name if isinstance(context, ModuleNotFoundError) else None
        code = 0 if error.code is None else error.code
        found.update(status="exited", code=code & 255 if isinstance(code, int) else 1)
    return found


def chain(error: BaseException) -> "list[str]":
    """The words of the import and system errors that led to `error`, the latest first."""
    seen = []  # type: list[BaseException]
    link = error  # type: BaseException | None
    while link is not None and len(seen) < LONGEST_CHAIN:
        seen.append(link)
        link = link.__cause__ or link.__context__
    return [str(one)[:2000] for one in seen if isinstance(one, (ImportError, OSError))]


if __name__ == "__main__":
    Importer().run()
