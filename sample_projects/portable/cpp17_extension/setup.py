from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "cpp17_extension",
            ["cpp17_extension.cpp"],
            language="c++",
            extra_compile_args=["-std=c++17"],
        )
    ]
)
