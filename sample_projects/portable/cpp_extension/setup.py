from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "cpp_extension",
            ["cpp_extension.cpp"],
            language="c++",
            extra_compile_args=["-std=c++11", "-pthread"],
            extra_link_args=["-pthread"],
        )
    ]
)
