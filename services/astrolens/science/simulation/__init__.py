"""Simulated survey images: galaxies, stars, seeing, noise, and rare objects and artefacts. Needs no data or network."""

from astrolens.science.simulation.galaxies import MORPHOLOGIES, Morphology
from astrolens.science.simulation.instruments import INSTRUMENTS, Instrument
from astrolens.science.simulation.oddity_registry import ODDITIES, Oddity
from astrolens.science.simulation.sky import SimulatedImage, Truth, simulate

__all__ = [
    "INSTRUMENTS",
    "MORPHOLOGIES",
    "ODDITIES",
    "Instrument",
    "Morphology",
    "Oddity",
    "SimulatedImage",
    "Truth",
    "simulate",
]
