"""Rules of the package index that files are uploaded to: PyPI's, or a private index's own list."""
