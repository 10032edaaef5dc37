"""What the interest ranking has learned, as a sentence: of triage, and of lists that it sorts."""

from collections.abc import Sequence
from datetime import datetime

from astrolens.console.format import relative
from astrolens.usecases.plurals import plural
from astrolens.usecases.rankings import MIN_ANSWERS_OF_KINDS, RankingView


def ranking_words(ranking: RankingView, now: datetime) -> str:
    """When the interest ranking last learned, and what it prefers now."""
    answers = sum(ranking.answers.values())
    if ranking.learned_at is None or not answers:
        return "The interest ranking has learned from no answer yet."
    kinds = [f"prefers {_listed(ranking.prefers)}"] if ranking.prefers else []
    kinds += [f"avoids {_listed(ranking.avoids)}"] if ranking.avoids else []
    found = f"The interest ranking learned {relative(ranking.learned_at, now)} from {plural(answers, 'answer')}"
    if answers < MIN_ANSWERS_OF_KINDS:
        return f"{found}; what it prefers is told from {MIN_ANSWERS_OF_KINDS} answers on."
    return f"{found} and {' and '.join(kinds)}." if kinds else f"{found}."


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join(kind.replace("-", " ") for kind in kinds)
