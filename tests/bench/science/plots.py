"""Plots of the figures as SVG, small enough to stand in a model card or a page of the console."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH: Final = 640
_HEIGHT: Final = 320
_LEFT: Final = 62
_BOTTOM: Final = 44
_TOP: Final = 30
_RIGHT: Final = 28
_COLOURS: Final = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f")


@dataclass(frozen=True)
class Axis:
    """One axis from `low` to `high`, with its title and its ticks: places and labels."""

    title: str
    low: float = 0.0
    high: float = 1.0
    ticks: tuple[tuple[float, str], ...] = ()

    def share(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def places(self) -> tuple[tuple[float, str], ...]:
        """The ticks, at quarters unless some are given."""
        values = [self.low + quarter / 4 * (self.high - self.low) for quarter in range(5)]
        return self.ticks or tuple((value, f"{value:.3g}") for value in values)


def line_plot(
    title: str,
    x: Axis,
    y: Axis,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    diagonal: bool = False,
) -> str:
    """Lines of points (x, y) by name.

    Args:
        title: Above the plot.
        x: Horizontal axis.
        y: Vertical axis.
        lines: Points by the line's name, at least two each.
        diagonal: Draw the line from corner to corner for comparison.
    """
    parts = _frame(title, x, y)
    if diagonal:
        parts.append(_path([_place(x, y, x.low, y.low), _place(x, y, x.high, y.high)], "#bbbbbb", dashed=True))
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(_path([_place(x, y, *point) for point in points], colour))
        parts.append(_label(_LEFT + 8, _TOP + 14 + 13 * number, name, colour))
    return _document(parts)


def bar_plot(title: str, y: Axis, bars: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> str:
    """Groups of bars with intervals.

    Args:
        title: Above the plot.
        y: Vertical axis.
        bars: By group, and in it by the bar's name: value, lower and upper limit.
    """
    parts = _frame(title, Axis("", 0.0, 1.0), y, with_x=False)
    names = sorted({name for group in bars.values() for name in group})
    slot = (_WIDTH - _LEFT - _RIGHT) / max(len(bars), 1)
    width = 0.7 * slot / max(len(names), 1)
    for place, (group, values) in enumerate(bars.items()):
        for number, name in enumerate(names):
            if name not in values:
                continue
            value, low, high = values[name]
            left = _LEFT + slot * (place + 0.15) + width * number
            top, base = _height(y, value), _height(y, y.low)
            colour = _COLOURS[number % len(_COLOURS)]
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{base - top:.1f}" fill="{colour}"/>'
            )
            middle = left + width / 2
            parts.append(_path([(middle, _height(y, low)), (middle, _height(y, high))], "#333333"))
        parts.append(_label(_LEFT + slot * (place + 0.1), _HEIGHT - _BOTTOM + 14 + 12 * (place % 2), group, "#333333"))
    for number, name in enumerate(names):
        parts.append(_label(_LEFT + 8, _TOP + 12 + 13 * number, name, _COLOURS[number % len(_COLOURS)]))
    return _document(parts)


def _frame(title: str, x: Axis, y: Axis, *, with_x: bool = True) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [
        f'<rect x="{_LEFT}" y="{_TOP}" width="{right - _LEFT}" height="{bottom - _TOP}" fill="none" stroke="#999999"/>',
        _label(_LEFT, 18, title, "#111111", size=13),
        f'<text transform="translate(14 {(_TOP + bottom) // 2}) rotate(-90)" font-size="11" text-anchor="middle">'
        f"{escape(y.title)}</text>",
    ]
    parts += [_label(_LEFT - 36, _height(y, value) + 4, label, "#333333") for value, label in y.places()]
    if with_x:
        parts += [
            _label(_place(x, y, value, y.low)[0] - 8, bottom + 14, label, "#333333") for value, label in x.places()
        ]
    if with_x:
        parts.append(_label((_LEFT + right) // 2 - 60, _HEIGHT - 8, x.title, "#111111"))
    return parts


def _place(x: Axis, y: Axis, one: float, two: float) -> tuple[float, float]:
    return _LEFT + x.share(one) * (_WIDTH - _LEFT - _RIGHT), _height(y, two)


def _height(y: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - y.share(value) * (_HEIGHT - _BOTTOM - _TOP)


def _path(points: Sequence[tuple[float, float]], colour: str, *, dashed: bool = False) -> str:
    steps = " ".join(f"{left:.1f},{top:.1f}" for left, top in points)
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<polyline points="{steps}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>'


def _label(left: float, top: float, text: str, colour: str, *, size: int = 10) -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}" font-size="{size}" fill="{colour}">{escape(text)}</text>'


def _document(parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>', *parts, "</svg>"]) + "\n"
