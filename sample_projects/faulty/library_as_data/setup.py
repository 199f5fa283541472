import zlib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class PackLibrary(build_ext):
    """Builds libtrim against a glibc of 2.38 and puts it into the package, compressed."""

    def build_extension(self, ext: Extension) -> None:
        super().build_extension(ext)
        libc = self._link("packed/libc.c", "libc.so.6", "-Wl,--version-script=packed/libc.map")
        library = self._link("packed/trim.c", "libtrim.so.1", str(libc))
        target = Path(self.get_ext_fullpath(ext.name)).with_name("libtrim.zz")
        target.write_bytes(zlib.compress(library.read_bytes()))

    def _link(self, source: str, name: str, *arguments: str) -> Path:
        library = Path(self.build_temp).resolve() / name
        objects = self.compiler.compile(
            [source], output_dir=self.build_temp, extra_postargs=["-fno-builtin"]
        )
        words = ["-nostdlib", f"-Wl,-soname,{name}", *arguments]
        self.compiler.link_shared_object(objects, str(library), extra_postargs=words)
        return library


setup(
    package_dir={"": "src"},
    packages=["library_as_data"],
    ext_modules=[
        Extension(
            "library_as_data._unpack",
            ["src/library_as_data/_unpack.c"],
            define_macros=[("Py_LIMITED_API", "0x03090000")],
            py_limited_api=True,
        )
    ],
    cmdclass={"build_ext": PackLibrary},
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
