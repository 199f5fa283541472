"""Distros as data: adding one needs no code."""
