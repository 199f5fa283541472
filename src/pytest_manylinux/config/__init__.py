"""Settings: read from flags, environment and pyproject.toml, merged in one place.

`keys` says what there is, `merge` puts layers together, `pyproject` reads the file.
"""
