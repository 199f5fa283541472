"""Frozen values that cross the walls between rooms. No I/O, no judgement."""
