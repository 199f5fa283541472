from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class LinkToOpenGL(build_ext):
    """Links against a library with OpenGL's name, so that the build needs no OpenGL."""

    def build_extension(self, ext: Extension) -> None:
        library = Path(self.build_temp).resolve() / "libGL.so.1"
        objects = self.compiler.compile(["gl/gl.c"], output_dir=self.build_temp)
        self.compiler.link_shared_object(
            objects, str(library), extra_postargs=[f"-Wl,-soname,{library.name}"]
        )
        ext.extra_objects.append(str(library))
        super().build_extension(ext)


setup(
    ext_modules=[
        Extension(
            "allowed_library",
            ["allowed_library.c"],
            define_macros=[("Py_LIMITED_API", "0x03090000")],
            py_limited_api=True,
        )
    ],
    cmdclass={"build_ext": LinkToOpenGL},
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
