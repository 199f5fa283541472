"""The builders: from a project to a repaired wheel."""
