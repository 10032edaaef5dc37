"""What a candidate and the bundle in use say of the same images, added up."""

from dataclasses import dataclass
from typing import Final

from astrolens.contracts.models import MAX_DIFFERENT, ShadowRecord

MIN_FOR_CORRELATION: Final = 10
_COMPARED_FITS: Final = frozenset({"own", "pooled"})


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one bundle says of an image, as far as it is compared."""

    rank_score: float
    anomalous: bool


def is_comparable(calibration_fit: str) -> bool:
    """Whether the other bundle has a calibration of the same kind: a survey model it has none like."""
    return calibration_fit in _COMPARED_FITS


def judgement(rank_score: float, p_value: float, *, alpha: float) -> Judgement:
    """What a bundle says of an image under a budget.

    Not its verdict: that was given under the budget of its day, and allows for the drift of one bundle's calibration.
    """
    return Judgement(rank_score, p_value <= alpha)


def compared(record: ShadowRecord, pairs: dict[str, tuple[Judgement, Judgement]], *, replayed: bool) -> ShadowRecord:
    """The record with more images.

    Args:
        record: As it was.
        pairs: What the bundle in use and the candidate say, by image; those that are in the record are left out.
        replayed: Whether they come from the archive.
    """
    known = set(record.image_ids)
    fresh = {image: pair for image, pair in pairs.items() if image not in known}
    fresh = dict(list(fresh.items())[: max(0, record.wanted - record.images)])
    newly = {image: pair for image, pair in fresh.items() if pair[1].anomalous and not pair[0].anomalous}
    gone = {image: pair for image, pair in fresh.items() if pair[0].anomalous and not pair[1].anomalous}
    champion = (*record.champion_rank_scores, *(round(pair[0].rank_score, 4) for pair in fresh.values()))
    candidate = (*record.candidate_rank_scores, *(round(pair[1].rank_score, 4) for pair in fresh.values()))
    ids = (*record.image_ids, *fresh)
    return record.model_copy(
        update={
            "image_ids": ids,
            "champion_rank_scores": champion,
            "candidate_rank_scores": candidate,
            "replayed": record.replayed + (len(fresh) if replayed else 0),
            "newly_anomalous": record.newly_anomalous + len(newly),
            "no_longer_anomalous": record.no_longer_anomalous + len(gone),
            "champion_anomalies": record.champion_anomalies + sum(pair[0].anomalous for pair in fresh.values()),
            "candidate_anomalies": record.candidate_anomalies + sum(pair[1].anomalous for pair in fresh.values()),
            "newly_anomalous_ids": _strangest((*record.newly_anomalous_ids, *newly), ids, candidate),
            "no_longer_anomalous_ids": _strangest((*record.no_longer_anomalous_ids, *gone), ids, champion),
            "rank_correlation": rank_correlation(champion, candidate),
        }
    )


def rank_correlation(first: tuple[float, ...], second: tuple[float, ...]) -> float | None:
    """Spearman's correlation; None with fewer than ten values, or where one side is the same for all."""
    if len(first) < MIN_FOR_CORRELATION or len(set(first)) == 1 or len(set(second)) == 1:
        return None
    from scipy.stats import spearmanr  # noqa: PLC0415 - 1.4 s of a start, and few processes compare

    return float(spearmanr(first, second).statistic)


def _strangest(images: tuple[str, ...], ids: tuple[str, ...], scores: tuple[float, ...]) -> tuple[str, ...]:
    rank = dict(zip(ids, scores, strict=True))
    return tuple(sorted(images, key=lambda image: (-rank[image], image))[:MAX_DIFFERENT])
