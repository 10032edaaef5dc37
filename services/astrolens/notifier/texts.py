"""What people read: one alert, or a digest of many. Plain text; what strangers wrote is made harmless."""

from collections.abc import Sequence
from dataclasses import dataclass

from astrolens.contracts.records import AlertRecord, ImageRecord

_LONGEST_NAME = 80
_LONGEST_DIGEST = 20
"""Alerts that a digest names; more would not be read."""


@dataclass(frozen=True)
class Notice:
    """An alert with its image, where the image is there."""

    alert: AlertRecord
    image: ImageRecord | None


@dataclass(frozen=True)
class Text:
    """A message."""

    title: str
    body: str


def one(notice: Notice, *, console: str) -> Text:
    """The message about one alert.

    Args:
        notice: The alert.
        console: URL of the console, without a slash at its end.
    """
    alert, image = notice.alert, notice.image
    if alert.alert_type == "retraction":
        title = f"Retracted: {_what(alert)} is no anomaly after all"
    elif alert.alert_type == "update":
        title = f"Again an anomaly: {_what(alert)} (p = {alert.p_value:.2g})"
    else:
        title = f"Strange: {_what(alert)} (p = {alert.p_value:.2g})"
    lines = [f"Verdict {alert.verdict.value}, {1000 * alert.p_value:.2g} false alarms per 1000 ordinary images."]
    if image is not None:
        lines = [*_about(image), *lines]
        if image.analysis is not None:
            scores = sorted(image.analysis.detectors.items(), key=lambda item: item[1].p_value)
            lines.append("Detectors: " + ", ".join(f"{name} p = {said.p_value:.2g}" for name, said in scores))
    lines.append(f"{console}/image/{alert.image_id}")
    return Text(_mark(alert) + title, "\n".join(lines))


def digest(notices: Sequence[Notice], *, console: str) -> Text:
    """One message about many alerts, the strangest first."""
    ranked = sorted(notices, key=lambda notice: (notice.alert.p_value, notice.alert.alert_id))
    retracted = sum(notice.alert.alert_type == "retraction" for notice in notices)
    tests = all(notice.alert.alert_tense == "test" for notice in notices)
    title = f"{'[TEST] ' if tests else ''}{len(notices)} alerts" + (f", {retracted} retracted" if retracted else "")
    lines = [_line(notice, console) for notice in ranked[:_LONGEST_DIGEST]]
    if len(ranked) > _LONGEST_DIGEST:
        lines.append(f"and {len(ranked) - _LONGEST_DIGEST} more: {console}/triage")
    return Text(title, "\n".join(lines))


def _line(notice: Notice, console: str) -> str:
    alert = notice.alert
    kind = "" if alert.alert_type == "initial" else f"{alert.alert_type}: "
    name = "" if notice.image is None or notice.image.observation.name is None else _harmless(notice.image)
    return f"{_mark(alert)}{kind}{_what(alert)} {name} p = {alert.p_value:.2g} {console}/image/{alert.image_id}"


def _mark(alert: AlertRecord) -> str:
    return "[TEST] " if alert.alert_tense == "test" else ""


def _what(alert: AlertRecord) -> str:
    return f"{alert.predicted_class} in {alert.survey}"


def _about(image: ImageRecord) -> list[str]:
    seen = image.observation
    lines = [] if seen.name is None else [_harmless(image)]
    if seen.position is not None:
        lines.append(f"RA {seen.position.ra_deg:.5f}, Dec {seen.position.dec_deg:+.5f} (ICRS, degrees)")
    return lines


def _harmless(image: ImageRecord) -> str:
    """A name without control characters, and without what would ping a whole chat room."""
    name = "".join(letter if letter.isprintable() else " " for letter in image.observation.name or "")
    return name.replace("@", "(at)").replace("<!", "( !")[:_LONGEST_NAME]
