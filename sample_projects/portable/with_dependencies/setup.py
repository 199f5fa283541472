import numpy
from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension("with_dependencies", ["with_dependencies.c"], include_dirs=[numpy.get_include()])
    ]
)
