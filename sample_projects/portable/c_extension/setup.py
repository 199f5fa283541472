from setuptools import Extension, setup

setup(ext_modules=[Extension("c_extension", ["c_extension.c"])])
