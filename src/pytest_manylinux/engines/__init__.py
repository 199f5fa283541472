"""Engines: things that run commands in fresh sandboxes. `api` is the protocol, a file per member."""
