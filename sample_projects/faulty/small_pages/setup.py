from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "small_pages",
            ["small_pages.c"],
            define_macros=[("Py_LIMITED_API", "0x03090000")],
            extra_link_args=["-Wl,-z,max-page-size=2048", "-Wl,-z,common-page-size=2048"],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
