"""Dates as astronomers count them. `observatory` itself is a namespace: it has no __init__.py."""

from observatory.calendar._julian import day_number

__all__ = ["day_number"]
