"""This machine: processes, signals, temporary folders, kernel settings."""
