"""The engine bubblewrap."""
