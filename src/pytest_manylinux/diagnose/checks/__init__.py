"""The checks, the findings of one cause a file. See docs/reference/findings."""
