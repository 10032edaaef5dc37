"""The text of messages to people: one alert, or a digest of many. Plain text; text from outside is escaped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from astrolens.contracts.catalogues import CrossmatchStatus
from astrolens.contracts.p_values import PValueWords, p_value_words
from astrolens.contracts.records import AlertOccasion, AlertRecord, Answer, ImageRecord
from astrolens.contracts.verdicts import CalibrationFit, DetectorResult
from astrolens.contracts.watchlists import WatchHit

_MAX_NAME_LENGTH = 80
_UPDATES: Final[Mapping[AlertOccasion | None, str]] = {
    None: "Again an anomaly",
    "possible-discovery": "Possible discovery",
    "no-discovery": "No discovery after all",
}
_STATUSES: Final[Mapping[CrossmatchStatus, str]] = {
    CrossmatchStatus.KNOWN: "known",
    CrossmatchStatus.UNMATCHED: "looked for and not found, a possible discovery",
    CrossmatchStatus.UNDETERMINED: "undetermined",
}
_REFUTED: Final[Mapping[Answer | None, str]] = {Answer.ARTEFACT: "an artefact", Answer.ORDINARY: "ordinary"}
_MAX_DIGEST_LINES = 20
"""Alerts that a digest lists; the rest is a link."""


@dataclass(frozen=True)
class AlertWithImage:
    """An alert, and its image unless that is missing or unreadable."""

    alert: AlertRecord
    image: ImageRecord | None

    @property
    def rank(self) -> tuple[float, str]:
        """Sorts alerts, the strangest first."""
        return -(self.alert.rank_score or 0.0), self.alert.alert_id


@dataclass(frozen=True)
class HitWithImage:
    """An image at a place of a watchlist; the image None where it is missing or unreadable."""

    alert: WatchHit
    image: ImageRecord | None

    @property
    def rank(self) -> tuple[float, str]:
        """Sorts hits behind the alerts: they have no strangeness, and a long list must not hide a strange image."""
        return 0.0, self.alert.hit_id


Subject = AlertWithImage | HitWithImage
"""What a message is about."""


@dataclass(frozen=True)
class MessageText:
    """Title and body of a message."""

    title: str
    body: str


def single(subject: Subject, *, console: str) -> MessageText:
    """The message about one alert or hit.

    Args:
        subject: What it is about.
        console: URL of the console, without a slash at its end.
    """
    if isinstance(subject, HitWithImage):
        return _single_hit(subject, console=console)
    return single_alert(subject, console=console)


def single_alert(subject: AlertWithImage, *, console: str) -> MessageText:
    """The message about one alert.

    Args:
        subject: The alert.
        console: URL of the console, without a slash at its end.
    """
    alert, image = subject.alert, subject.image
    words = _words(alert)
    if alert.alert_type == "retraction":
        title = f"Retracted: {_subject(alert)} {_why_retracted(alert)}"
    elif alert.alert_type == "update":
        title = f"{_UPDATES[alert.occasion]}: {_subject(alert)} ({words.figure})"
    elif alert.crossmatch_status is CrossmatchStatus.UNMATCHED:
        again = ", seen again" if alert.seen_before else ""
        title = f"Possible discovery{again}: {_subject(alert)} ({words.figure})"
    else:
        title = f"{'Seen again' if alert.seen_before else 'Strange'}: {_subject(alert)} ({words.figure})"
    lines = [f"Verdict {alert.verdict.value.replace('_', ' ')}: {words.sentence}.", *_catalogue_lines(alert)]
    if alert.late:
        lines.append("Found late: another model looked at the archive again, and the one before had not flagged it.")
    if alert.seen_before:
        times = "once" if alert.seen_before == 1 else f"{alert.seen_before} times"
        lines.append(f"Its object was seen {times} before.")
    if image is not None:
        lines = [*_object_lines(image), *lines]
        if image.analysis is not None:
            results = sorted(image.analysis.detectors.items(), key=lambda item: item[1].p_value)
            fit = image.analysis.calibration_fit
            lines.append("Detectors: " + ", ".join(_detector_text(name, result, fit) for name, result in results))
    lines.append(f"{console}/image/{alert.image_id}")
    return MessageText(_test_prefix(alert) + title, "\n".join(lines))


def digest(subjects: Sequence[Subject], *, console: str) -> MessageText:
    """One message about many alerts and hits, the strangest first.

    Args:
        subjects: The alerts and hits.
        console: URL of the console, without a slash at its end.
    """
    ranked = sorted(subjects, key=lambda each: each.rank)
    alerts = [each for each in subjects if isinstance(each, AlertWithImage)]
    retracted = sum(each.alert.alert_type == "retraction" for each in alerts)
    all_tests = len(alerts) == len(subjects) and all(each.alert.alert_tense == "test" for each in alerts)
    counts = [_counted(len(alerts), "alert", "alerts")] if alerts else []
    counts += [f"{retracted} retracted"] if retracted else []
    hits = len(subjects) - len(alerts)
    counts += [_counted(hits, "image on a watchlist", "images on watchlists")] if hits else []
    title = f"{'[TEST] ' if all_tests else ''}{', '.join(counts)}"
    lines = [
        _hit_line(each, console) if isinstance(each, HitWithImage) else _digest_line(each, console)
        for each in ranked[:_MAX_DIGEST_LINES]
    ]
    if len(ranked) > _MAX_DIGEST_LINES:
        lines.append(f"and {len(ranked) - _MAX_DIGEST_LINES} more: {console}/triage")
    return MessageText(title, "\n".join(lines))


def _counted(number: int, one: str, many: str) -> str:
    return f"1 {one}" if number == 1 else f"{number} {many}"


def _single_hit(subject: HitWithImage, *, console: str) -> MessageText:
    hit, image = subject.alert, subject.image
    title = f"On watchlist {escape_text(hit.watchlist)}: {escape_text(hit.place)}"
    lines = [] if image is None else _object_lines(image)
    lines.append(f"{hit.separation_arcsec:.1f} arcsec from {escape_text(hit.place)}.")
    if hit.seen_before:
        lines.append("The image was there before the list.")
    if image is not None and image.verdict is not None:
        lines.append(f"Verdict {image.verdict.value.replace('_', ' ')}.")
    lines.append(f"{console}/image/{hit.image_id}")
    return MessageText(title, "\n".join(lines))


def _hit_line(each: HitWithImage, console: str) -> str:
    hit = each.alert
    name = "" if each.image is None or each.image.observation.name is None else escape_text(each.image.observation.name)
    return (
        f"watchlist {escape_text(hit.watchlist)}: {escape_text(hit.place)} {name} {hit.separation_arcsec:.1f} arcsec "
        f"{console}/image/{hit.image_id}"
    )


def _why_retracted(alert: AlertRecord) -> str:
    if alert.label not in _REFUTED:
        return "is no anomaly after all"
    who = _escape(alert.labeled_by or "somebody", _MAX_NAME_LENGTH)
    return f"is {_REFUTED[alert.label]}, says {who}"


def _catalogue_lines(alert: AlertRecord) -> list[str]:
    """What the catalogues say, in one line. Names in it come from catalogues."""
    if alert.crossmatch_status is None:
        return []
    return [f"Catalogues: {_STATUSES[alert.crossmatch_status]}. {_escape(alert.crossmatch_reason or '', 300)}".strip()]


def escape_text(text: str) -> str:
    """A short text from outside without control characters, and without what mentions everyone in a chat room."""
    return _escape(text, _MAX_NAME_LENGTH)


def _escape(text: str, length: int) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return printable.replace("@", "(at)").replace("<!", "( !")[:length]


def _digest_line(each: AlertWithImage, console: str) -> str:
    alert, image = each.alert, each.image
    prefix = "" if alert.alert_type == "initial" else f"{alert.alert_type}: "
    if alert.crossmatch_status is CrossmatchStatus.UNMATCHED and alert.alert_type != "retraction":
        prefix += "possible discovery: "
    if alert.seen_before:
        prefix += "seen again: "
    if alert.late:
        prefix += "late: "
    name = "" if image is None or image.observation.name is None else escape_text(image.observation.name)
    link = f"{console}/image/{alert.image_id}"
    return f"{_test_prefix(alert)}{prefix}{_subject(alert)} {name} {_words(alert).figure} {link}"


def _words(alert: AlertRecord) -> PValueWords:
    return p_value_words(
        alert.p_value,
        at_most=alert.p_value_at_most,
        fit=alert.calibration_fit,
        older=alert.calibration_images is None,
    )


def _detector_text(name: str, result: DetectorResult, fit: CalibrationFit) -> str:
    return f"{name} {p_value_words(result.p_value, at_most=result.at_most, fit=fit).figure}"


def _test_prefix(alert: AlertRecord) -> str:
    return "[TEST] " if alert.alert_tense == "test" else ""


def _subject(alert: AlertRecord) -> str:
    return f"{alert.predicted_class} in {alert.survey}"


def _object_lines(image: ImageRecord) -> list[str]:
    name, position = image.observation.name, image.observation.position
    lines = [] if name is None else [escape_text(name)]
    if position is not None:
        lines.append(f"RA {position.ra_deg:.5f}, Dec {position.dec_deg:+.5f} (ICRS, degrees)")
    return lines
