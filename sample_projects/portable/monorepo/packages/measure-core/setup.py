from setuptools import Extension, setup

setup(ext_modules=[Extension("measure_core._core", ["core.c"], include_dirs=["measure_core"])])
