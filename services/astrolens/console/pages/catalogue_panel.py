"""What the catalogues know at the place of an image, as HTML for its page."""

from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import Any, Final

from astrolens.console.format import absolute, figure, relative
from astrolens.contracts.catalogues import CrossmatchStatus
from astrolens.usecases.crossmatches import CrossmatchView

_SUMS: Final = {
    CrossmatchStatus.KNOWN: "Known",
    CrossmatchStatus.UNMATCHED: "Possible discovery",
    CrossmatchStatus.UNDETERMINED: "Undetermined",
}
_ANSWERS: Final = {
    "matched": "has it",
    "none": "has nothing here",
    "not_covered": "does not cover this place",
    "failed": "did not answer",
    "stale": "answered earlier",
}


def catalogues(found: CrossmatchView, now: datetime) -> str:
    """The sum of what the catalogues say, and the answer of each."""
    asked = found.state != "not_asked"
    title = _SUMS[found.status] if asked else "Not looked up"
    parts = [f'<p><b>{title}</b> <span class="muted">{escape(_sentence(found.reason.detail))}</span></p>']
    if found.references is not None:
        counted = f"{found.references:,} references" if found.references else "No reference"
        parts.append(f'<p class="muted">{counted} in the literature.</p>')
    if found.next_try_at is not None:
        parts.append('<p class="muted">The catalogues that could not tell are asked again by themselves.</p>')
    rows = [_answer(answer, now) for answer in found.answers]
    return "".join(parts) + (f'<dl class="facts catalogues">{"".join(rows)}</dl>' if rows else "")


def _answer(answer: Mapping[str, Any], now: datetime) -> str:
    name = escape(answer["catalogue"])
    title = _link(answer.get("link"), name)
    counterparts = answer.get("counterparts") or ()
    said = _ANSWERS.get(answer["status"], answer["status"])
    if answer["status"] == "matched" and not any(each["matches"] for each in counterparts):
        said = "has objects so near that it cannot tell"
    when = ""
    if answered_at := answer.get("answered_at"):
        at = datetime.fromisoformat(answered_at)
        when = f' <span class="muted" title="{absolute(at)}">{relative(at, now)}</span>'
    lines = [f"{said}{when}"]
    if detail := answer.get("detail"):
        lines.append(f'<span class="muted">{escape(_sentence(detail))}</span>')
    lines += [_counterpart(each) for each in counterparts]
    required = ' <span class="muted">required</span>' if answer["required"] else ""
    return f"<dt>{title}{required}</dt><dd>{'<br>'.join(lines)}</dd>"


def _counterpart(item: Mapping[str, Any]) -> str:
    name = _link(item.get("link"), escape(item["name"]))
    words = [escape(item["object_type"])] if item.get("object_type") else []
    words.append(f"{figure(item['separation_arcsec'])}″ away")
    if item.get("redshift") is not None:
        words.append(f"z = {figure(item['redshift'])}")
    if item.get("magnitude") is not None:
        words.append(f"{figure(item['magnitude'])} mag")
    if item.get("chance_probability") is not None:
        words.append(f"by chance {figure(item['chance_probability'])}")
    nearest = "" if item["matches"] else "nearest known: "
    return f'{nearest}{name} <span class="muted num">{", ".join(words)}</span>'


def _link(href: str | None, text: str) -> str:
    """Text as a link, where it leads to a page; catalogues write what they like into their replies."""
    if href is None or not href.startswith(("https://", "http://")):
        return text
    return f'<a href="{escape(href)}" target="_blank" rel="noopener noreferrer">{text}</a>'


def _sentence(text: str) -> str:
    """With a full stop. Names of catalogues and hosts stand first in many: nothing is capitalised."""
    return text.rstrip(".") + "."
