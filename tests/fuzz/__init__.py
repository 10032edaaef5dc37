"""Mutated files against the decoding sandbox and the reader of tables: `make fuzz`."""
