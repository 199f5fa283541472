from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "unlisted_library",
            ["unlisted_library.c"],
            define_macros=[("Py_LIMITED_API", "0x03090000")],
            libraries=["dl"],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
