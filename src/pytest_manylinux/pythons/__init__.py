"""Pythons that no distro packages: made or fetched once, kept, and mounted into distros' roots."""
