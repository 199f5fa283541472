from setuptools import Extension, setup

setup(
    package_dir={"": "src"},
    packages=["abi_clash"],
    ext_modules=[
        Extension(
            f"abi_clash.{name}",
            [f"src/abi_clash/{name}.cpp"],
            define_macros=[("Py_LIMITED_API", "0x03090000")],
            language="c++",
            py_limited_api=True,
        )
        for name in ("_first", "_second")
    ],
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
