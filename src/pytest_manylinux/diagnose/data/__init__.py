"""Data of the checks: libraries and the packages that bring them."""
