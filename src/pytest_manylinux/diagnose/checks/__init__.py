"""The checks, a file each; each file holds one `CHECK`. See docs/reference/findings."""
