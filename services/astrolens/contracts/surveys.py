"""The surveys that have public alert topics of their own. All others share the topics of `OTHER_SURVEYS`."""

from typing import Final

OTHER_SURVEYS: Final = "other"
"""The survey in the topic names of alerts about surveys without topics of their own. The alert names the survey."""
SOURCE_SURVEYS: Final = frozenset({"sdss", "simulated-legacy", "simulated-lsst", "simulated-sdss", "unknown"})
"""Surveys that have alert topics of their own everywhere: those of the sources, and the default of uploads."""
SIMULATED_PREFIX: Final = "simulated-"
"""How the names of simulated surveys begin."""
MAX_ALERT_SURVEYS: Final = 100
"""Most further surveys in the settings. With them, the surveys of a bundle and its classes, topics are bounded: whoever
uploads images may name surveys without limit, and each topic costs the broker memory."""
