"""One run: what the items share, the work they wait for, and the record of what came of it."""
