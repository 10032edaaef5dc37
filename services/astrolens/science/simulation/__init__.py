"""A physically sensible sky that can be made anywhere: galaxies, stars, seeing, noise, and rare oddities."""

from astrolens.science.simulation.galaxies import MORPHOLOGIES, Morphology
from astrolens.science.simulation.instruments import INSTRUMENTS, Instrument
from astrolens.science.simulation.oddities import ODDITIES, Oddity
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
