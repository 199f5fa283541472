"""What runs inside a root that CPython is built in."""
