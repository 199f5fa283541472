"""The commands of `pytest-manylinux`, a file each; each has `register(subparsers)`."""
