"""A score on the distribution that it is calibrated on, drawn as SVG; the distribution is known by its quantiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from astrolens.console.format import figure
from astrolens.console.pages.marks import DETECTORS
from astrolens.contracts.p_values import PValueWords

WIDTH: Final = 420
HEIGHT: Final = 46
_BASE: Final = 34
_BINS: Final = 44
"""As many steps as a strip is wide in letters; more shows the sample, not the distribution."""

_DASHED: Final = 'stroke="currentColor" stroke-dasharray="3 3"'

_NEAR_MISS: Final = 3
"""Near misses begin at three times the false-alarm budget."""


@dataclass(frozen=True)
class Distribution:
    """`scores[i]` is the quantile `probabilities[i]`; both ascend, n values each."""

    probabilities: Sequence[float]
    scores: Sequence[float]

    def quantile(self, share: float) -> float:
        """The score that a share of ordinary images stays below, between the quantiles known."""
        p, s = self.probabilities, self.scores
        at = next((index for index, known in enumerate(p) if known >= share), len(p))
        if at in {0, len(p)}:
            return s[0] if at == 0 else s[-1]
        return s[at - 1] + (share - p[at - 1]) / (p[at] - p[at - 1]) * (s[at] - s[at - 1])

    def share_below(self, score: float) -> float:
        """The share of ordinary images below a score."""
        p, s = self.probabilities, self.scores
        at = next((index for index, known in enumerate(s) if known >= score), len(s))
        if at in {0, len(s)}:
            return p[0] if at == 0 else 1.0
        width = s[at] - s[at - 1]
        part = (score - s[at - 1]) / width if width > 0 else 1.0
        return p[at - 1] + part * (p[at] - p[at - 1])

    def density(self, low: float, high: float) -> list[tuple[float, float, float]]:
        """Density between two scores in equal steps: from, to, height."""
        step = (high - low) / _BINS
        if step <= 0:
            return []
        edges = [low + index * step for index in range(_BINS + 1)]
        shares = [self.share_below(edge) for edge in edges]
        return [
            (begin, end, max(0.0, after - before) / step)
            for (begin, end), (before, after) in zip(pairwise(edges), pairwise(shares), strict=True)
        ]


def strip(
    name: str,
    said: PValueWords,
    *,
    p_value: float,
    score: float | None,
    distribution: Distribution | None,
    alpha: float | None,
    placed: bool = False,
) -> str:
    """One detector's strip as HTML.

    Args:
        name: The detector.
        said: Its p-value for people.
        p_value: Its p-value.
        score: Where the image stands on the distribution; None: not known.
        distribution: Of ordinary images; None leaves the drawing out.
        alpha: The false-alarm budget below which an anomaly begins.
        placed: Whether the score was found from the p-value: then it is no measurement to be told.
    """
    title = DETECTORS.get(name, name)
    shown = f'<span class="num muted">score {figure(score)}</span>' if score is not None and not placed else ""
    words = f'<b>{escape(said.figure)}</b> <span class="muted">{escape(said.meaning)}</span>'
    caption = f'<figcaption><b>{escape(title)}</b>{shown}<span class="num">{words}</span></figcaption>'
    drawing = ""
    if distribution is not None and len(distribution.scores) > 2:
        says = f"{title}: {'' if placed else f'score {figure(score)}, '}{said.figure}, {said.meaning}"
        drawing = _draw(distribution, score, alpha, _hue(p_value, alpha), says)
    return f'<figure class="strip-plot">{caption}{drawing}</figure>'


def _hue(p_value: float, alpha: float | None) -> str:
    if alpha is None:
        return ""
    return "v-anomaly" if p_value <= alpha else "v-near_miss" if p_value <= _NEAR_MISS * alpha else "v-ordinary"


def _draw(distribution: Distribution, score: float | None, alpha: float | None, hue: str, says: str) -> str:
    # The first and last quantile of a heavy tail would squeeze everything else into one pixel.
    low, high = distribution.quantile(0.005), distribution.quantile(0.995)
    span = (high - low) or 1.0
    beyond = score is not None and score > high + span
    if score is not None:
        low, high = max(min(low, score), low - span), min(max(high, score), high + span)
    pad = (high - low) * 0.04 or 1.0

    def x(value: float) -> float:
        return min(WIDTH - 4.0, max(4.0, (value - low + pad) / (high - low + 2 * pad) * WIDTH))

    bars = distribution.density(max(low - pad, distribution.scores[0]), min(high + pad, distribution.scores[-1]))
    top = max((height for *_, height in bars), default=0.0) or 1.0
    heights = [_BASE - min(1.0, height / top) * (_BASE - 6) for *_, height in bars]
    steps = "".join(f"L{x(a):.1f} {y:.1f}L{x(b):.1f} {y:.1f}" for (a, b, _), y in zip(bars, heights, strict=True))
    parts = []
    if bars:
        outline = f"M{x(bars[0][0]):.1f} {_BASE}{steps}L{x(bars[-1][1]):.1f} {_BASE}Z"
        parts.append(f'<path class="v-ordinary" fill="currentColor" opacity=".35" d="{outline}"/>')
    parts.append(f'<line x1="0" x2="{WIDTH}" y1="{_BASE}" y2="{_BASE}" class="v-ordinary" stroke="currentColor"/>')
    for share, kind, title in ((_NEAR_MISS, "near_miss", "Near misses"), (1, "anomaly", "Anomalies")):
        if alpha is not None:
            limit = f"{x(distribution.quantile(1 - share * alpha)):.1f}"
            line = f'<line x1="{limit}" x2="{limit}" y1="4" y2="{_BASE}" class="v-{kind}" {_DASHED}>'
            parts.append(f"{line}<title>{title} begin here</title></line>")
    if score is not None:
        at = f"{x(score):.1f}"
        mark = f'<line x1="{at}" x2="{at}" y1="2" y2="{_BASE + 3}" stroke="currentColor" stroke-width="2"/>'
        parts.append(f'<g class="{hue}">{mark}<path d="M{at} {_BASE + 1}l5 7h-10Z" fill="currentColor"/></g>')
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" preserveAspectRatio="none" aria-label="{escape(says)}">'
    ends = f"<span>{figure(low)}</span><span>ordinary images’ scores{'; this one lies beyond' if beyond else ''}</span>"
    ends = f"{ends}<span>{figure(high)}</span>"
    foot = f'<div class="row justify-between text-caption muted" aria-hidden="true">{ends}</div>'
    return f"{svg}{''.join(parts)}</svg>{foot}"
