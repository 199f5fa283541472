from setuptools import Extension, setup

setup(ext_modules=[Extension("cython_extension", ["cython_extension.pyx"])])
