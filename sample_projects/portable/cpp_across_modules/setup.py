from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            f"cpp_across_modules._{name}",
            [f"{name}.cpp"],
            depends=["shapes.hpp"],
            language="c++",
            extra_compile_args=["-std=c++11"],
        )
        for name in ("thrower", "catcher")
    ]
)
