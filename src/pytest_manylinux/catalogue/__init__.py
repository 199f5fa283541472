"""Distros as data: adding one needs no code."""

from __future__ import annotations

from pytest_manylinux.catalogue.loader import load_catalogue
from pytest_manylinux.catalogue.lookup import DEFAULT, EMBEDDED, MUSL, Catalogue

__all__ = ["DEFAULT", "EMBEDDED", "MUSL", "Catalogue", "load_catalogue"]
