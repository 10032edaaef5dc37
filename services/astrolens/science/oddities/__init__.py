"""Synthetic oddities: strange things drawn on pictures of ordinary objects, for training, injections and tests."""

from astrolens.science.oddities.registry import (
    KINDS,
    KINDS_BY_NAME,
    Kind,
    SyntheticOddity,
    draw_control,
    draw_oddity,
)

__all__ = ["KINDS", "KINDS_BY_NAME", "Kind", "SyntheticOddity", "draw_control", "draw_oddity"]
