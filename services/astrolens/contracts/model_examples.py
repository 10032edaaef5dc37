"""Examples of the documents of the model registry, for `schemas/examples/` and the golden tests."""

from datetime import UTC, datetime

from astrolens.contracts.models import (
    ModelChange,
    ModelFile,
    ModelRecord,
    ModelState,
    Promotion,
    PromotionRecord,
    ShadowRecord,
)

_DIGEST = "3fdba35f04dc8c462986c992bcf875546257113072a909c162f7e470e581e278"
_GRAPH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PARENT = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9"


def _at(minute: int) -> datetime:
    return datetime(2026, 11, 2, 6, minute, tzinfo=UTC)


def model() -> ModelRecord:
    """A bundle whose gates passed and that a person promoted."""
    return ModelRecord(
        digest=_DIGEST,
        name="second-light",
        version="0.3.1",
        parent_digest=_PARENT,
        created_at=_at(0),
        created_by="retraining 7",
        files={
            "manifest.json": ModelFile(sha256=_DIGEST, size=7_465),
            "model.onnx": ModelFile(sha256=_GRAPH, size=10_240_000),
        },
        key_id="5d41402abc4b2a76",
        signature="c2lnbmF0dXJlIG9mIHRoZSBleGFtcGxlLCB3aGljaCBub2JvZHkgY2FuIHZlcmlmeQ==",
        gates={
            "passed": True,
            "gates": [
                {
                    "name": "oddity AUROC, sdss",
                    "passed": True,
                    "champion": 0.925,
                    "challenger": 0.931,
                    "detail": "0.931 after 0.925, not worse beyond its interval",
                }
            ],
        },
        state=ModelState.PROMOTED,
        first_served_at=_at(31),
        history=(
            ModelChange(state=ModelState.CANDIDATE, at=_at(0), by="retraining 7", why="its gates passed"),
            ModelChange(state=ModelState.SHADOW, at=_at(1), by="model-server", why="its gates passed"),
            ModelChange(state=ModelState.PROMOTED, at=_at(30), by="vera", why="finds two more mergers"),
        ),
        revision=2,
    )


def promotion() -> PromotionRecord:
    """The promotion of that bundle."""
    first = Promotion(digest=_DIGEST, previous_digest=_PARENT, at=_at(30), by="vera", why="finds two more mergers")
    return PromotionRecord(number=1, **first.model_dump(), history=(first,))


def shadow() -> ShadowRecord:
    """How it judged three images beside the bundle before."""
    images = ("0" * 32, "1" * 32, "2" * 32)
    return ShadowRecord(
        digest=_DIGEST,
        champion_digest=_PARENT,
        wanted=3,
        began_at=_at(1),
        finished_at=_at(2),
        image_ids=images,
        champion_rank_scores=(0.2, 1.1, 2.4),
        candidate_rank_scores=(0.3, 2.2, 2.6),
        newly_anomalous=1,
        champion_anomalies=1,
        candidate_anomalies=2,
        newly_anomalous_ids=images[1:2],
    )
