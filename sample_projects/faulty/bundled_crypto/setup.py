from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class BuildLibraryFirst(build_ext):
    """Builds libcrypto.so.9 beside the objects; repair finds it there through the run path."""

    def build_extension(self, ext: Extension) -> None:
        library = Path(self.build_temp).resolve() / "libcrypto.so.9"
        objects = self.compiler.compile(["libcrypto/crypto.c"], output_dir=self.build_temp)
        self.compiler.link_shared_object(
            objects, str(library), extra_postargs=[f"-Wl,-soname,{library.name}"]
        )
        ext.extra_objects.append(str(library))
        ext.runtime_library_dirs.append(str(library.parent))
        super().build_extension(ext)


setup(
    package_dir={"": "src"},
    packages=["bundled_crypto"],
    ext_modules=[
        Extension(
            "bundled_crypto._digest",
            ["src/bundled_crypto/_digest.c"],
            define_macros=[("Py_LIMITED_API", "0x03090000")],
            py_limited_api=True,
        )
    ],
    cmdclass={"build_ext": BuildLibraryFirst},
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
