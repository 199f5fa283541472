from setuptools import Extension, setup

setup(
    ext_modules=[Extension("observatory.calendar._julian", ["src/observatory/calendar/_julian.c"])]
)
