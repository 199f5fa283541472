import measure_core
from setuptools import Extension, setup

setup(ext_modules=[Extension("measure_stats", ["stats.c"], include_dirs=[measure_core.get_include()])])
