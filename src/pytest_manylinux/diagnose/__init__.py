"""Checks that turn facts and observations into findings and a verdict. They never read a file."""
