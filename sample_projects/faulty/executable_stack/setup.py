import subprocess

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class AskForExecutableStack(build_ext):
    """Sets on the finished module the flag that forgetful assembler code gets from GNU ld.

    Not with `-z execstack`: not every linker knows it.
    """

    def build_extension(self, ext: Extension) -> None:
        super().build_extension(ext)
        subprocess.run(["patchelf", "--set-execstack", self.get_ext_fullpath(ext.name)], check=True)


setup(
    ext_modules=[
        Extension(
            "executable_stack",
            ["executable_stack.c"],
            define_macros=[("Py_LIMITED_API", "0x03090000")],
            py_limited_api=True,
        )
    ],
    cmdclass={"build_ext": AskForExecutableStack},
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
