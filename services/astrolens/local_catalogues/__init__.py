"""Catalogues on this machine: imported once, memory-mapped, searched without a network."""
