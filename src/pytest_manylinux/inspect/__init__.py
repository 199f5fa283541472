"""Readers of wheels and ELF files. They state facts and never judge."""
