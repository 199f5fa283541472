from setuptools import Extension, setup

setup(
    ext_modules=[Extension("abi3_violation", ["abi3_violation.c"], py_limited_api=True)],
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
