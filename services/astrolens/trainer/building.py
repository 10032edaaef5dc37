"""From trained weights to a bundle on disk: export, fit, calibrate, evaluate, write."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from astrolens import __version__
from astrolens.contracts.base import utc_now
from astrolens.science import bundle as files
from astrolens.science.bundle import (
    Bundle,
    Combination,
    Manifest,
    ModelEntry,
    SurveyEntry,
    Training,
    arrays_to_bytes,
    write_bundle,
)
from astrolens.science.calibration import COMBINED, POOLED
from astrolens.science.detectors import Features
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.science.scoring import Scorer
from astrolens.trainer import card, evaluation, export
from astrolens.trainer.fitting import DETECTORS, Scored, calibrate, coarse_centroids, family, fit_detectors
from astrolens.trainer.pictures import Pictures
from astrolens.trainer.samples import CLASSES, Role
from astrolens.trainer.training import Recipe, Trained, infer, temperature_of

_CENTROIDS: Final = 64
_COMBINATION: Final = Combination(detectors=tuple(entry.name for entry in DETECTORS))


@dataclass(frozen=True)
class Provenance:
    """What the manifest says of the bundle's origin."""

    name: str
    version: str
    data_digest: str
    note: str = ""


def build(
    trained: Trained,
    pictures: Mapping[Role, Pictures],
    spec: PreprocessingSpec,
    recipe: Recipe,
    provenance: Provenance,
    out: Path,
) -> Bundle:
    """Write the bundle of a trained backbone into `out` and read it back.

    Raises:
        ExportFailed: The graph and the backbone disagree, or a batch is not the sum of its pictures.
    """
    model, fit = trained.model, pictures[Role.FIT]
    model.temperature.fill_(temperature_of(infer(model, fit.inputs)[0], fit.classes))
    graph = export.export(model, spec)
    ready = export.session(graph)
    probe = fit.inputs[:: max(1, len(fit) // 64)][:64]
    parity = export.check_parity(model, ready, probe)
    export.check_batches(ready, probe)
    scored = {role: _scored(ready, pictures[role]) for role in Role if role not in {Role.DEVELOP, Role.TEST}}
    detectors = fit_detectors(_joined(scored[Role.FIT], scored[Role.BACKBONE]))
    calibration = calibrate(
        DETECTORS,
        detectors,
        _COMBINATION,
        first=scored[Role.CALIBRATION],
        second=scored[Role.COMBINED],
        seed=recipe.seed,
    )
    centroids = coarse_centroids(scored[Role.BACKBONE].features.embedding, count=_CENTROIDS, seed=recipe.seed)
    manifest = Manifest(
        name=provenance.name,
        version=provenance.version,
        created_at=utc_now(),
        classes=CLASSES,
        surveys={
            name.split("/")[0]: SurveyEntry(
                detector_images=len(calibration[f"{name.split('/')[0]}/{DETECTORS[0].name}"]),
                combined_images=len(scores),
            )
            for name, scores in calibration.items()
            if name.endswith(f"/{COMBINED}") and not name.startswith(POOLED)
        },
        preprocessing=spec,
        model=ModelEntry(
            architecture=model.config.name,
            embedding_dim=model.embedding_dim,
            parameters=sum(p.numel() for p in model.parameters()),
        ),
        detectors=DETECTORS,
        combination=_COMBINATION,
        training=Training(
            code_version=__version__,
            seed=recipe.seed,
            draws=trained.draws,
            minutes=round(trained.minutes, 1),
            by_clock=trained.by_clock,
            images={str(role): _counts(own) for role, own in pictures.items()},
            data_digest=provenance.data_digest,
        ),
        files={},
    )
    contents = {
        files.MODEL: graph,
        files.DETECTORS: arrays_to_bytes(detectors),
        files.CALIBRATION: arrays_to_bytes(calibration),
        files.INDEX: arrays_to_bytes({"centroids": centroids}),
    }
    # Written twice: the figures come from the very scorer that will serve, reading the very files.
    write_bundle(out, manifest, {**contents, files.CARD: b"figures follow\n"})
    figures: dict[str, Any] = {"parity": float(f"{parity:.1e}"), "cpu_ms_per_image": _cost(graph, probe)}
    scorer = Scorer(Bundle.load(out))
    for role in (Role.TEST, Role.DEVELOP):
        figures[str(role)] = _measure(scorer, ready, pictures[role], seed=recipe.seed)
    manifest = manifest.model_copy(update={"figures": figures})
    write_bundle(out, manifest, {**contents, files.CARD: card.render(manifest, recipe, note=provenance.note).encode()})
    return Bundle.load(out)


def _measure(scorer: Scorer, ready: InferenceSession, pictures: Pictures, *, seed: int) -> dict[str, Any]:
    """Figures by survey, and of the simulated surveys together."""
    scores = scorer.score(*export.run(ready, pictures.inputs), pictures.surveys.tolist())
    families = np.array([family(str(name)) for name in pictures.surveys])
    figures = {}
    for name in sorted({*map(str, pictures.surveys), *map(str, families)}):
        rows = (pictures.surveys == name) | (families == name)
        own = pictures.where(rows)
        kept = [score for score, keep in zip(scores, rows, strict=True) if keep]
        figures[name] = evaluation.figures(evaluation.Judged(kept, own.classes, own.oddities), CLASSES, seed=seed)
    return figures


def _scored(ready: InferenceSession, pictures: Pictures) -> Scored:
    """The graph's own outputs, not the backbone's: what is calibrated is what will run."""
    ordinary = pictures.where(pictures.ordinary)
    return Scored(Features.of(*export.run(ready, ordinary.inputs)), ordinary.classes, ordinary.surveys)


def _joined(one: Scored, two: Scored) -> Scored:
    return Scored(
        Features(
            logits=np.concatenate((one.features.logits, two.features.logits)),
            embedding=np.concatenate((one.features.embedding, two.features.embedding)),
        ),
        np.concatenate((one.classes, two.classes)),
        np.concatenate((one.surveys, two.surveys)),
    )


def _counts(pictures: Pictures) -> dict[str, int]:
    counts = {str(name): int((pictures.surveys == name).sum()) for name in np.unique(pictures.surveys)}
    odd = int((~pictures.ordinary).sum())
    return counts | ({"of which oddities": odd} if odd else {})


def _cost(graph: bytes, inputs: NDArray[np.uint8]) -> float:
    """Milliseconds of one core an image in batches of 32, the middle one of twenty."""
    single = export.session(graph, threads=1)
    batch = np.resize(inputs, (32, *inputs.shape[1:]))
    spent = []
    for _ in range(20):
        before = time.process_time()
        export.run(single, batch)
        spent.append((time.process_time() - before) / len(batch) * 1000.0)
    return round(float(np.median(spent)), 2)
