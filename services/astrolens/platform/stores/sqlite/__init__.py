"""The record store in one SQLite file, for a single machine."""
