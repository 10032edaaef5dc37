"""What is known of one image, as HTML: the page of an image puts these panels together.

Numbers and sentences need no elements of NiceGUI, which cost memory for each open window: everything here is text.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape
from typing import Any, Final

from astrolens.console.format import absolute, figure, relative, words
from astrolens.console.pages.marks import answer_mark, name_of, verdict_mark
from astrolens.console.pages.strips import Distribution, strip
from astrolens.contracts.base import utc_now
from astrolens.contracts.morphology import Morphology, MorphologyQuality
from astrolens.rpc.messages import Description
from astrolens.usecases.views import ImageCard, ImageDetail, SimilarImage

Facts = Iterable[tuple[str, str]]
"""Names and values of HTML."""

_SHORT: Final = 20
"""Longest id that is shown whole."""

_MEASURES: Final = (
    ("concentration", "Concentration C", "5 log10(r80 / r20): large where the light is in the middle"),
    ("asymmetry", "Asymmetry A", "difference from itself turned by 180°: large for mergers"),
    ("smoothness", "Smoothness S", "light in clumps: large is clumpy"),
    ("gini", "Gini", "inequality of the pixels' light, 0 to 1"),
    ("m20", "M20", "second moment of the brightest 20 % of the light: near zero for several nuclei"),
    ("sersic_index", "Sérsic n", "1 is an exponential disc, 4 an elliptical"),
    ("ellipticity", "Ellipticity", "1 − b/a"),
    ("half_light_radius_px", "Half-light radius", "semi-major axis"),
    ("sn_per_pixel", "Signal to noise", "mean of its pixels"),
    ("ring_score", "Ring score", "largest rise of the profile's slope with radius: large for rings and lenses"),
)

_TRUST: Final = {
    MorphologyQuality.GOOD: "Statmorph reports no problem.",
    MorphologyQuality.SUSPECT: "Statmorph doubts it: the object touches another one, or its masks differ.",
    MorphologyQuality.BAD: "Statmorph calls it unreliable: there is no sky around it, or a radius was not found.",
    MorphologyQuality.FALLBACK: "Statmorph failed; these are simple properties of the object's pixels.",
    MorphologyQuality.FAILED: "Nothing was measured.",
}


def muted(text: str) -> str:
    """A quiet paragraph."""
    return f'<p class="muted">{escape(text)}</p>'


def facts(rows: Facts, classes: str = "facts") -> str:
    """Names and values side by side."""
    return f'<dl class="{classes}">{"".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)}</dl>'


def copy_button(text: str) -> str:
    """A button that copies a text; astrolens-copy.js does it."""
    return f'<button type="button" class="btn tiny" data-copy="{escape(text)}" title="{escape(text)}">copy</button>'


def time_of(at: datetime) -> str:
    """How long ago, the absolute time on hover."""
    return f'<time datetime="{at.isoformat()}" title="{absolute(at)}">{relative(at, utc_now())}</time>'


def shares(title: str, rows: Mapping[str, float]) -> str:
    """Probabilities as bars."""
    lines = "".join(
        f'<div class="class-row"><span>{escape(words(name).replace("-", " "))}</span>'
        f'<span class="bar" aria-hidden="true"><i style="width:{100 * share:.1f}%"></i></span>'
        f'<span class="num text-right">{100 * share:.1f} %</span></div>'
        for name, share in rows.items()
    )
    return f'<div class="q-mt-md"><h3>{title}</h3>{lines}</div>' if rows else ""


def scores(detail: ImageDetail, model: Description | None, model_problem: str) -> str:
    """Each detector's score on its calibration, then kinds and classes."""
    record = detail.model_extra or {}
    analysis: Mapping[str, Any] | None = record.get("analysis")
    if not analysis or detail.budget is None:
        return muted("No model has judged it yet.")
    fit = analysis.get("calibration_fit")
    parts = []
    if detail.alert_hold:
        parts.append(f'<p class="banner quiet">An anomaly, but {escape(detail.alert_hold)}.</p>')
    elif fit == "does-not-fit":
        survey = escape(detail.card.survey)
        parts.append(
            f'<p class="text-negative">The images of {survey} do not look like those that the model was calibrated on: '
            "this verdict is a ranking, not a false-alarm rate.</p>"
        )
    if model_problem:
        parts.append(muted(f"The calibration’s distributions are not drawn: {model_problem}"))
    if model is not None and model.digest != analysis["model_digest"]:
        parts.append(muted("It was judged by an earlier model; the strips are those of the present one."))
    strips = _strips_of(model, analysis)
    if strips:
        parts.append('<p class="muted strip-note">Dashed lines: where near misses and anomalies begin.</p>')
    alpha = model.whole.get("alpha") if model is not None else None
    combined = strips.get("combined")
    p_value = float(analysis["p_value"])
    # The record keeps the combined p, not its statistic: the place of p on the calibration is the same thing.
    place = combined.quantile(1 - p_value) if combined else None
    said = detail.budget.words
    parts.append(strip("combined", said, p_value=p_value, score=place, distribution=combined, alpha=alpha, placed=True))
    for name, result in (analysis.get("detectors") or {}).items():
        parts.append(
            strip(
                name,
                detail.detector_budgets[name].words,
                p_value=result["p_value"],
                score=result["score"],
                distribution=strips.get(name),
                alpha=alpha,
            )
        )
    parts.append(shares("Kind of strangeness", {each.kind: each.probability for each in detail.kinds}))
    classes = sorted((analysis.get("class_probabilities") or {}).items(), key=lambda each: -each[1])
    parts.append(shares("Class", dict(classes)))
    return "".join(parts)


def _strips_of(model: Description | None, analysis: Mapping[str, Any]) -> dict[str, Distribution]:
    # A survey model's distributions are its own; those of the bundle would be another measure.
    if model is None or analysis.get("calibration_fit") == "survey-model":
        return {}
    surveys = (model.whole.get("calibration") or {}).get("surveys") or {}
    strips = (surveys.get(analysis.get("calibration_survey")) or {}).get("strips") or {}
    return {
        name: Distribution(each["probabilities"], each["scores"]) for name, each in strips.items() if each.get("scores")
    }


def morphology(measured: Morphology, arcsec: float | None) -> str:
    """The numbers that astronomers compare galaxies by, and how far to trust them."""
    rows = []
    for field, title, meaning in _MEASURES:
        value = getattr(measured, field)
        if value is None:
            continue
        text = figure(value)
        if field == "half_light_radius_px":
            text += " px" + (f", {figure(value * arcsec)}″" if arcsec else "")
        flagged = field == "sersic_index" and measured.sersic_quality not in {None, MorphologyQuality.GOOD}
        fit = f' <span class="muted">({words(measured.sersic_quality)} fit)</span>' if flagged else ""
        rows.append((f'<span title="{escape(meaning)}">{title}</span>', f'<span class="num">{text}</span>{fit}'))
    quality = f'<b class="morphology-quality">{words(measured.quality)}</b>'
    head = f'<p>{quality} <span class="muted">{escape(_TRUST[measured.quality])}</span></p>'
    note = (
        "Measured on the picture as it is shown (8 bits, stretched), not on calibrated flux: compare within one survey."
    )
    detail = muted(f"{measured.detail}.") if measured.detail else ""
    return head + detail + (facts(rows, "facts morphology-facts") + muted(note) if rows else "")


def position_rows(detail: ImageDetail) -> list[tuple[str, str]]:
    """The position in three ways of writing, each with a button that copies it."""
    return [
        ("" if index else "Position", f'<span class="num mono">{text}</span> {copy_button(text)}')
        for index, text in enumerate(detail.position_texts)
    ] or [("Position", '<span class="muted">not known: the image came without one</span>')]


def position(detail: ImageDetail, base: str) -> str:
    """Position in three ways of writing, scale, survey, epoch, credit, and the archives."""
    card, observation = detail.card, (detail.model_extra or {})["observation"]
    rows = position_rows(detail)
    if arcsec := card.scale_arcsec:
        size = f"{arcsec * card.width:.1f}″ × {arcsec * card.height:.1f}″ in all"
        rows.append(("Scale", f'<span class="num">{arcsec:.3f}″ a cutout pixel, {size}</span>'))
    bands = (
        f' <span class="muted">bands {escape(" ".join(observation["bands"]))}</span>'
        if observation.get("bands")
        else ""
    )
    survey = escape(card.survey)
    rows.append(("Survey", f'<a href="{base}/gallery?survey={survey}">{survey}</a>{bands}'))
    if observation.get("observed_at"):
        rows.append(("Observed", time_of(datetime.fromisoformat(observation["observed_at"]))))
    if observation.get("credit"):
        rows.append(("Credit", escape(observation["credit"])))
    rows += [(escape(words(name)), escape(str(value))) for name, value in (observation.get("extra") or {}).items()]
    return facts(rows) + archives(detail)


def archives(detail: ImageDetail) -> str:
    """Links to the archives, each centred on the image."""
    if not detail.archive_links:
        return muted("The archives are searched by position, and this image came without one.")
    invented = "This sky is simulated: its positions are invented, so the archives show something else there."
    links = "".join(
        f'<li><a class="btn" href="{escape(each.url)}" target="_blank" rel="noopener noreferrer">{each.name} '
        '<span aria-hidden="true">↗</span><span class="visually-hidden">(opens a new tab)</span></a></li>'
        for each in detail.archive_links
    )
    return (muted(invented) if detail.card.simulated else "") + f'<ul class="links">{links}</ul>'


def neighbours(items: Iterable[SimilarImage], base: str) -> str:
    """The most similar images, with what the model and people said of them."""
    hint = 'title="Cosine similarity of the embeddings"'
    said = ((each.image, f'<span class="num muted" {hint}>{each.cosine_similarity:.3f}</span>') for each in items)
    return thumbnails(said, base)


def thumbnails(items: Iterable[tuple[ImageCard, str]], base: str) -> str:
    """Small pictures that lead to their images, each with HTML below it."""
    links = "".join(
        f'<a href="{base}/image/{card.image_id}" class="ring-{card.verdict or "none"}">'
        f'<img src="{base}{card.cutout_url}" alt="{escape(name_of(card))}" width="96" height="96" '
        f'loading="lazy">{verdict_mark(card.verdict, bare=True, corner=True)}'
        f"{answer_mark(card.label, bare=True, corner=True) if card.label else ''}{below}</a>"
        for card, below in items
    )
    return f'<div class="row-of-thumbs">{links}</div>'


def near_duplicates(detail: ImageDetail, base: str) -> str:
    """Images of nearly the same pixels."""
    near = (detail.model_extra or {}).get("near_duplicates") or ()
    if not near:
        return ""
    links = ", ".join(
        f'<a class="mono" href="{base}/image/{each["image_id"]}">{each["image_id"][:12]}</a> '
        f'<span class="num">({each["distance"]} of 64 bits differ)</span>'
        for each in near
    )
    return f'<p class="muted">Near-duplicates, linked by perceptual hash: {links}</p>'


_NOT_CURRENT: Final = {
    "withheld": "Withheld: the survey has not released these data to the public, so neither a topic nor a channel "
    "carries the alert. ASTROLENS_PUBLISH_UNRELEASED sends such alerts where the right to do so is yours.",
    "injection": "Not sent: a blind injection, slipped in to measure how many oddities are found.",
    "test": "Marked as a test: the image is of the simulated sky.",
}
"""What an alert's tense means, where it is no claim about the sky that everybody may read."""


_ALERT_STATES: Final = {"initial": "raised", "update": "updated", "retraction": "retracted"}


def history(detail: ImageDetail) -> str:
    """Answers over time, by person, and the alert."""
    labels = list(reversed((detail.model_extra or {}).get("labels") or ()))
    if not labels and not detail.alert_id:
        return muted("Nobody has answered, and no alert was raised.")
    lines = "".join(
        f"<li>{time_of(datetime.fromisoformat(each['recorded_at']))} "
        f"{answer_mark(each['answer']) if each['answer'] else 'taken back'} "
        f'<span class="muted">by {escape(each["user"])}</span>'
        + "".join(f' <span class="tag static">{escape(tag)}</span>' for tag in each.get("tags") or ())
        + (f'<span class="reason">{escape(each["note"])}</span>' if each.get("note") else "")
        + "</li>"
        for each in labels
    )
    return f'<ol class="timeline">{lines}</ol>{_alert(detail)}'


def _alert(detail: ImageDetail) -> str:
    """The alert's messages, each with who or what caused it, and why it is not public where it is not."""
    if not detail.alert_id or not detail.alert_tense:
        return ""
    lines = "".join(
        f"<li>{time_of(each.at)} {_ALERT_STATES[each.alert_type]}, {escape(each.p_value_words.figure)}"
        + (f'<span class="reason">{escape(each.update_reason)}</span>' if each.update_reason else "")
        + "</li>"
        for each in reversed(detail.alert_messages)
    )
    name = f'<span class="mono">{detail.alert_id[:12]}</span> {copy_button(detail.alert_id)}'
    state = _ALERT_STATES[detail.alert_type or "initial"]
    line = f'<p class="alert-state">Alert {name} {state}</p><ol class="timeline">{lines}</ol>'
    why = _NOT_CURRENT.get(detail.alert_tense)
    return line + (f'<p class="banner quiet alert-tense">{escape(why)}</p>' if why else "")


def provenance(detail: ImageDetail) -> str:
    """From the bytes that came to what was said of them, every id and hash."""
    lines = "".join(
        f'<li><b>{escape(step.step)}</b><span class="chain-id"><code title="{escape(step.id)}">'
        f"{escape(step.id[:16] + '…' if len(step.id) > _SHORT else step.id)}</code>"
        f"{copy_button(step.id) if len(step.id) > _SHORT else ''}</span>"
        f'<span class="muted">{escape(step.detail)}{f" · {time_of(step.at)}" if step.at else ""}</span></li>'
        for step in detail.provenance
    )
    return f'<ol class="chain">{lines}</ol>'
