from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class BuildLibraryFirst(build_ext):
    """Builds libtally.so.1 beside the objects; repair finds it there through the run path."""

    def build_extension(self, ext: Extension) -> None:
        library = Path(self.build_temp).resolve() / "libtally.so.1"
        objects = self.compiler.compile(["libtally/tally.c"], output_dir=self.build_temp)
        self.compiler.link_shared_object(
            objects, str(library), extra_postargs=[f"-Wl,-soname,{library.name}"]
        )
        ext.extra_objects.append(str(library))
        ext.runtime_library_dirs.append(str(library.parent))
        super().build_extension(ext)


setup(
    ext_modules=[Extension("vendored_library", ["vendored_library.c"], include_dirs=["libtally"])],
    cmdclass={"build_ext": BuildLibraryFirst},
)
