from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class PutLibrariesBeside(build_ext):
    """Builds the two libraries into the package's folder `libs`."""

    def build_extension(self, ext: Extension) -> None:
        folder = Path(self.get_ext_fullpath(ext.name)).resolve().parent / "libs"
        folder.mkdir(parents=True, exist_ok=True)
        inner = self._link("libs/inner.c", folder / "libinner.so")
        outer = self._link("libs/outer.c", folder / "libouter.so", str(inner))
        ext.extra_objects.append(str(outer))
        super().build_extension(ext)

    def _link(self, source: str, library: Path, *arguments: str) -> Path:
        objects = self.compiler.compile([source], output_dir=self.build_temp)
        words = [f"-Wl,-soname,{library.name}", *arguments]
        self.compiler.link_shared_object(objects, str(library), extra_postargs=words)
        return library


setup(
    package_dir={"": "src"},
    packages=["unreachable_library"],
    ext_modules=[
        Extension(
            "unreachable_library._native",
            ["src/unreachable_library/_native.c"],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_link_args=["-Wl,-rpath,$ORIGIN/libs"],
            py_limited_api=True,
        )
    ],
    cmdclass={"build_ext": PutLibrariesBeside},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
