"""Why an alert was last updated or retracted, in words, from what its record keeps of its last message."""

from collections.abc import Mapping
from typing import Any, Final

from astrolens.contracts.records import Answer
from astrolens.contracts.verdicts import Verdict

_ANSWERS: Final[Mapping[str | None, str]] = {
    Answer.INTERESTING: "interesting",
    Answer.ARTEFACT: "an artefact",
    Answer.ORDINARY: "ordinary",
}
_OCCASIONS: Final[Mapping[str | None, str]] = {
    "possible-discovery": "the catalogues know nothing at its place",
    "no-discovery": "it is no possible discovery any more",
}


def update_reason(alert: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str | None:
    """Who or what caused the last message, as far as an `AlertRecord` document tells; None for an initial alert.

    A retraction always has a reason. An update has one where a person called the image interesting, or where a
    catalogue changed what is known; otherwise its figures are new. An answer that the message before had already is no
    reason, where that message is known.

    Args:
        alert: The message, as an `AlertRecord` or `AlertMessage` document.
        before: The message before it.
    """
    kind, label = alert["alert_type"], alert.get("label")
    if kind == "initial":
        return None
    tags = f" ({', '.join(alert['tags'])})" if alert.get("tags") else ""
    said = f"{alert.get('labeled_by') or 'somebody'} called it {_ANSWERS[label]}{tags}" if label in _ANSWERS else None
    if kind == "retraction":
        if label in {Answer.ARTEFACT, Answer.ORDINARY}:
            return said
        if alert["verdict"] != Verdict.ANOMALY:
            return f"analysed again, it is {alert['verdict'].replace('_', ' ')}"
        return "its calibration promises no rate of false alarms any more"
    if before is not None and _answer(before) == _answer(alert):
        said = None
    return _OCCASIONS.get(alert.get("occasion")) or said or "its figures are new"


def _answer(alert: Mapping[str, Any]) -> tuple[Any, Any, list[str]]:
    return alert.get("label"), alert.get("labeled_by"), list(alert.get("tags") or ())
