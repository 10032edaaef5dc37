"""The gates: challenger and champion on the same images, figure by figure.

A challenger passes where no figure is worse beyond the 95 % interval of the difference over the same images (paired
bootstrap), and where it keeps some bounds. With few images an interval is wide: a bound on the figure itself then still
refuses what is plainly worse.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from astrolens.contracts.base import utc_now
from astrolens.contracts.records import Answer
from astrolens.contracts.training_runs import Gate, GateReport, RunFigures
from astrolens.contracts.verdicts import Verdict
from astrolens.science.bundle import Bundle
from astrolens.science.scoring import ImageScores, Scorer
from astrolens.trainer import export
from astrolens.trainer.evaluation import auroc, bootstrap, clopper_pearson, p_values_of, rank_values, uniformity
from astrolens.trainer.image_arrays import ImageArrays
from astrolens.trainer.retraining.data_set import ANSWERED, ARCHIVE, GOLD_ITEMS
from astrolens.trainer.retraining.orders import Bounds

MAX_LOSS: Final = 0.03
"""Largest loss of AUROC or accuracy, whatever its interval says; with few images, what `_MAX_LOST` of them make."""
_MAX_LOST: Final = 3
"""Pictures that a figure of few may lose: one or two are chance."""
MAX_FALSE_ALARMS: Final = 1.5
"""Largest share of ordinary images called anomalies, in units of the budget or of the champion's share if that is
larger; refused where even the lower limit of the interval is above."""
MAX_VOLUME: Final = 2.0
"""Largest number of alerts on unanswered images of the archive, in units of the champion's."""
MAX_KS: Final = 0.03
"""Largest growth of the distance of ordinary p-values from uniform, where they are not uniform by themselves."""
KS_SIGNIFICANCE: Final = 0.01
MAX_PARITY: Final = 1e-4
"""Largest relative difference of the exported graph; float32 alone makes some 1e-5."""
CHOSEN: Final = frozenset({ANSWERED, GOLD_ITEMS})
"""People answer what the queue shows first, the strangest: no sound bundle finds p-values of these uniform."""
ALL_SURVEYS: Final = "all"
_MIB: Final = 1 << 20
MIN_COMPARED: Final = 20
"""A figure of fewer images on either side is not compared."""

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """One benchmark as both bundles score it.

    Attributes:
        name: Of the set.
        images: With their labels.
        champion: Scores, n.
        challenger: Scores, n.
    """

    name: str
    images: ImageArrays
    champion: list[ImageScores]
    challenger: list[ImageScores]

    def where(self, rows: Mask) -> "Scored":
        """The selected images."""
        return Scored(
            self.name,
            self.images.where(rows),
            [own for own, keep in zip(self.champion, rows, strict=True) if keep],
            [own for own, keep in zip(self.challenger, rows, strict=True) if keep],
        )


def score_both(
    name: str, champion: Bundle, challenger: Bundle, images: ImageArrays, again: ImageArrays | None, *, budget: float
) -> Scored:
    """Score one benchmark with both bundles.

    Args:
        name: Of the benchmark.
        champion: The bundle in use.
        challenger: The new one.
        images: Preprocessed for the champion.
        again: The same images preprocessed for the challenger, where that needs others.
        budget: False alarms per 1,000.
    """
    return Scored(name, images, _scores(champion, images, budget), _scores(challenger, again or images, budget))


def compare(
    scored: Sequence[Scored],
    *,
    champion: Bundle,
    challenger: Bundle,
    missing: Sequence[str],
    surveys_without: Mapping[str, int],
    costs_ms: tuple[float, float],
    parity: float,
    alpha: float,
    seed: int,
    bounds: Bounds,
) -> GateReport:
    """Compare a challenger with the champion.

    Args:
        scored: Benchmarks.
        champion: The bundle in use.
        challenger: The new one.
        missing: What could not be measured, and why.
        surveys_without: Surveys of the archive that the challenger has too few images to calibrate.
        costs_ms: CPU time of an image, champion and challenger, measured in one process.
        parity: Largest relative difference of PyTorch and ONNX Runtime.
        alpha: Share of ordinary images that may be called anomalies.
        seed: Of the bootstrap.
        bounds: What it keeps, whatever it finds.
    """
    gates: list[Gate] = []
    for own in scored:
        for survey in sorted({str(name) for name in own.images.surveys}):
            part = own.where(own.images.surveys == survey)
            gates += _of_survey(part, f"{own.name}, {survey}", alpha=alpha, seed=seed)
    gates += _alert_volume(scored)
    gates += _calibrations(champion, challenger, surveys_without, bounds.protected_surveys)
    gates.append(_cost(*costs_ms, bound=bounds.max_cost))
    gates.append(_size(champion, challenger, bound_mib=bounds.max_graph_mib))
    gates.append(
        Gate(
            name="parity of PyTorch and ONNX Runtime",
            passed=parity <= MAX_PARITY,
            challenger=parity,
            detail=f"largest relative difference {parity:.1e}, allowed {MAX_PARITY:.0e}",
        )
    )
    return GateReport(
        champion=champion.digest,
        challenger=challenger.digest,
        measured_at=utc_now(),
        benchmarks=tuple(f"{own.name}: {len(own.images)} images" for own in scored),
        missing=tuple(missing),
        gates=tuple(gates),
        passed=all(gate.passed for gate in gates),
    )


def figures_of(scored: Sequence[Scored], *, challenger: bool) -> RunFigures:
    """Accuracy and AUROC of one of the two bundles on all benchmarks."""
    right: list[Mask] = []
    by_survey: dict[str, float] = {}
    areas: dict[str, float] = {}
    for own in scored:
        for survey in sorted({str(name) for name in own.images.surveys}):
            part = own.where(own.images.surveys == survey)
            scores = part.challenger if challenger else part.champion
            name = f"{own.name}, {survey}"
            known = part.images.ordinary & (part.images.classes >= 0)
            if known.any():
                hits = _right(scores, part.images)[known]
                right.append(hits)
                by_survey[name] = round(float(hits.mean()), 4)
            odd = ~part.images.ordinary
            if odd.sum() >= MIN_COMPARED and (~odd).sum() >= MIN_COMPARED:
                areas[name] = round(auroc(odd, rank_values(scores)), 4)
    return RunFigures(
        accuracy=round(float(np.concatenate(right).mean()), 4) if right else None, auroc=areas, by_survey=by_survey
    )


def _scores(bundle: Bundle, images: ImageArrays, budget: float) -> list[ImageScores]:
    features = export.run(export.session(bundle.model), images.inputs)
    return Scorer(bundle, budget).score(features, [str(name) for name in images.surveys])


def _of_survey(own: Scored, where: str, *, alpha: float, seed: int) -> list[Gate]:
    gates: list[Gate] = []
    ordinary, known = own.images.ordinary, own.images.ordinary & (own.images.classes >= 0)
    if known.sum() >= MIN_COMPARED:
        part = own.where(known)
        hits = [_right(scores, part.images).astype(np.float64) for scores in (part.champion, part.challenger)]
        gates.append(
            _not_worse(
                f"accuracy, {where}",
                [lambda rows, values=values: float(values[rows].mean()) for values in hits],  # type: ignore[misc]
                part.images.classes,
                seed=seed,
            )
        )
    # An artefact must not be called ordinary sky, but it is no oddity that anybody looks for.
    wanted = ordinary | (own.images.oddities != Answer.ARTEFACT.value)
    part = own.where(wanted)
    odd = ~part.images.ordinary
    if odd.sum() >= MIN_COMPARED and (~odd).sum() >= MIN_COMPARED:
        ranks = [rank_values(scores) for scores in (part.champion, part.challenger)]
        gates.append(
            _not_worse(
                f"oddity AUROC, {where}",
                [lambda rows, values=values: auroc(odd[rows], values[rows]) for values in ranks],  # type: ignore[misc]
                odd,
                seed=seed,
            )
        )
    if ordinary.sum() >= MIN_COMPARED:
        part = own.where(ordinary)
        gates.append(_false_alarms(part, where, alpha=alpha))
        if own.name not in CHOSEN:
            gates.append(_uniform(part, where))
    return gates


def _not_worse(
    name: str, figures: Sequence[Callable[[NDArray[np.int64]], float]], strata: NDArray[np.generic], *, seed: int
) -> Gate:
    """A figure of rows, champion's and challenger's, compared on the same resamples."""
    rows = np.arange(len(strata))
    before, after = (figure(rows) for figure in figures)
    low, high = bootstrap(lambda drawn: figures[1](drawn) - figures[0](drawn), strata, seed=seed)
    difference = after - before
    allowed = max(MAX_LOSS, _MAX_LOST / len(rows))
    passed = high >= 0.0 and difference >= -allowed
    return Gate(
        name=name,
        passed=passed,
        champion=round(before, 4),
        challenger=round(after, 4),
        difference=round(difference, 4),
        interval=(low, high),
        images=len(rows),
        detail=f"{before:.3f} before, {after:.3f} after: {difference:+.3f} [{low:+.3f}, {high:+.3f}]"
        + ("" if passed else f", worse beyond its interval or by more than {allowed:.2g}"),
    )


def _false_alarms(part: Scored, where: str, *, alpha: float) -> Gate:
    n = len(part.images)
    before, after = (
        sum(own.verdict is Verdict.ANOMALY for own in scores) for scores in (part.champion, part.challenger)
    )
    low, high = clopper_pearson(after, n)
    bound = MAX_FALSE_ALARMS * max(alpha, before / n)
    passed = low <= bound
    return Gate(
        name=f"false alarms, {where}",
        passed=passed,
        champion=round(before / n, 4),
        challenger=round(after / n, 4),
        interval=(low, high),
        images=n,
        detail=f"{after} of {n} ordinary images are called anomalies, {before} before; allowed {bound:.1%}"
        + ("" if passed else f", and {low:.1%} at the least are"),
    )


def _uniform(part: Scored, where: str) -> Gate:
    before, _ = uniformity(p_values_of(part.champion))
    after, significance = uniformity(p_values_of(part.challenger))
    passed = significance >= KS_SIGNIFICANCE or after <= before + MAX_KS
    return Gate(
        name=f"p-values uniform, {where}",
        passed=passed,
        champion=round(before, 4),
        challenger=round(after, 4),
        images=len(part.images),
        detail=f"distance from uniform {after:.3f} (KS p = {significance:.2g}), {before:.3f} before"
        + ("" if passed else f", more than {MAX_KS:g} further"),
    )


def _alert_volume(scored: Sequence[Scored]) -> list[Gate]:
    """Anomalies among what comes from the stream, whatever it is."""
    streamed = [own for own in scored if own.name == ARCHIVE]
    gates = []
    for own in streamed:
        before, after = (
            sum(score.verdict is Verdict.ANOMALY for score in scores) for scores in (own.champion, own.challenger)
        )
        # A handful is chance.
        bound = MAX_VOLUME * before + 3.0 * np.sqrt(max(before, 1))
        gates.append(
            Gate(
                name="alert volume",
                passed=after <= bound,
                champion=before,
                challenger=after,
                images=len(own.images),
                detail=f"{after} anomalies among {len(own.images)} images of the archive, {before} before; "
                f"allowed {bound:.0f}",
            )
        )
    return gates


def _calibrations(
    champion: Bundle, challenger: Bundle, surveys_without: Mapping[str, int], protected: Collection[str]
) -> list[Gate]:
    """No survey that images come of, or that is protected, loses its own calibration; the loss of any other is told."""
    gates = []
    for survey in sorted(set(champion.manifest.surveys) - set(challenger.manifest.surveys)):
        is_protected = bool({survey, ALL_SURVEYS} & set(protected))
        images = surveys_without.get(survey)
        if images is not None:
            detail = (
                f"the archive has {images} images to calibrate it with, too few, and the promoted bundle has its own "
                "calibration: add images or a named set of this survey"
            )
        else:
            detail = (
                "neither archive nor named sets have images of it, and the promoted bundle has its own calibration: "
                "its images would be judged by the pooled one; "
            ) + (
                "it is protected: name a set of this survey in ASTROLENS_TRAINING_SETS"
                if is_protected
                else "it is not protected: ASTROLENS_PROTECTED_SURVEYS names those that are"
            )
        passed = images is None and not is_protected
        gates.append(Gate(name=f"calibration of {survey}", passed=passed, images=images, detail=detail))
    return gates


def _cost(before: float, after: float, *, bound: float) -> Gate:
    return Gate(
        name="cost of an image",
        passed=after <= bound * before,
        champion=before,
        challenger=after,
        detail=f"{after:.2f} CPU-ms, {before:.2f} before, measured in one process; allowed {bound:g} times that "
        "(ASTROLENS_MODEL_MAX_COST)",
    )


def _size(champion: Bundle, challenger: Bundle, *, bound_mib: float) -> Gate:
    before, after = (len(own.model) / _MIB for own in (champion, challenger))
    return Gate(
        name="size of the graph",
        passed=after <= max(bound_mib, before),
        champion=round(before, 2),
        challenger=round(after, 2),
        detail=f"{after:.1f} MiB, {before:.1f} before; allowed {bound_mib:g} (ASTROLENS_MODEL_MAX_GRAPH_MIB)",
    )


def _right(scores: Sequence[ImageScores], images: ImageArrays) -> Mask:
    """[n] whether the predicted class is the true one."""
    order = {name: index for index, name in enumerate(scores[0].class_probabilities)} if scores else {}
    predicted = np.array([order[own.predicted_class] for own in scores], dtype=np.int64)
    return np.asarray(predicted == images.classes, dtype=np.bool_)
