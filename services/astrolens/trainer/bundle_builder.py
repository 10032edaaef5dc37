"""Build a bundle from trained weights: export, fit, calibrate, evaluate, write."""

import time
from collections.abc import Callable, Mapping
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
from astrolens.science.detectors import Features, load_detector, survey_family
from astrolens.science.golden import with_golden
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.science.scoring import Scorer
from astrolens.science.simulation import simulate
from astrolens.trainer import evaluation, export, model_card
from astrolens.trainer.class_head import refit_class_head
from astrolens.trainer.dataset import CLASSES, Split
from astrolens.trainer.fitting import (
    VOTING,
    LabelledFeatures,
    calibrate,
    carry_over,
    coarse_centroids,
    fit_detectors,
)
from astrolens.trainer.image_arrays import ImageArrays
from astrolens.trainer.trainable_backbone import TrainableBackbone
from astrolens.trainer.training import Recipe, Trained, infer, temperature_of
from astrolens.trainer.training_views import KIND_NAMES

_CENTROIDS: Final = 64
_GOLDEN_INPUTS: Final = 4
_GOLDEN_SEED: Final = 25
_COST_RUNS: Final = 20
_COMBINATION: Final = Combination(detectors=VOTING)


@dataclass(frozen=True)
class Provenance:
    """Name and origin of a bundle, for manifest and model card."""

    name: str
    version: str
    data_digest: str
    note: str = ""


def build_bundle(
    trained: Trained,
    arrays: Mapping[Split, ImageArrays],
    spec: PreprocessingSpec,
    recipe: Recipe,
    provenance: Provenance,
    out: Path,
    *,
    kinds: tuple[str, ...] = KIND_NAMES,
    beside: Callable[[TrainableBackbone], Mapping[str, bytes]] = lambda _: {},
    kept: Mapping[str, NDArray[Any]] | None = None,
    refit_classes: bool = True,
) -> Bundle:
    """Write the bundle of a trained backbone to `out`, with golden inputs, and load it again.

    Args:
        trained: The backbone.
        arrays: Images of every split but `develop`.
        spec: The preprocessing.
        recipe: Hyperparameters of the training.
        provenance: Name and origin.
        out: Folder of the bundle; its content is replaced.
        kinds: Names of the kinds that the backbone tells apart.
        beside: Gives the content of further files, by name, of the backbone as it is exported.
        kept: Arrays of detectors that stay as they are, whatever the images would give, by name.
        refit_classes: Fit the class head once more, on the images as they come.

    Raises:
        ExportFailed: Graph and backbone disagree, or results depend on the batch.
    """
    model, fit = trained.model, arrays[Split.FIT]
    train = arrays[Split.BACKBONE]
    if refit_classes:
        refit_class_head(
            model.class_head, train.where(train.classes >= 0), export.session(export.export_class_features(model, spec))
        )
    known = fit.where(fit.classes >= 0)
    model.temperature.fill_(temperature_of(infer(model, known.inputs)[0], known.classes))
    graph = export.export(model, spec)
    ready = export.session(graph)
    probe = fit.inputs[:: max(1, len(fit) // 64)][:64]
    parity = export.check_parity(model, ready, probe)
    export.check_batches(ready, probe)
    features = {split: _features(ready, arrays[split]) for split in Split if split not in {Split.DEVELOP, Split.TEST}}
    fitted = fit_detectors(_joined(features[Split.BACKBONE], _of_new_surveys(features[Split.FIT], arrays)))
    entries = tuple(own.entry for own in fitted)
    detectors = {name: array for own in fitted for name, array in own.arrays.items()}
    # A bundle that is trained on may have detectors that this version does not fit.
    detectors |= {name: array for name, array in (kept or {}).items() if name in detectors}
    calibration = calibrate(
        [load_detector(entry, detectors) for entry in entries],
        _COMBINATION,
        units=features[Split.FIT],
        ordinary=features[Split.CALIBRATION],
        seed=recipe.seed,
    )
    centroids = coarse_centroids(
        features[Split.BACKBONE].features.embedding, count=min(_CENTROIDS, len(train)), seed=recipe.seed
    )
    manifest = Manifest(
        name=provenance.name,
        version=provenance.version,
        created_at=utc_now(),
        classes=CLASSES,
        surveys=_survey_entries(calibration, entries[0].name),
        preprocessing=spec,
        kinds=kinds,
        model=ModelEntry(
            architecture=model.architecture,
            embedding_dim=model.embedding_dim,
            kinds="kinds",
            taps=model.taps,
            parameters=sum(p.numel() for p in model.parameters()),
        ),
        detectors=entries,
        combination=_COMBINATION,
        training=_training(trained, arrays, recipe, provenance),
        files={},
    )
    contents = {
        files.MODEL: graph,
        files.DETECTORS: arrays_to_bytes(detectors),
        files.CALIBRATION: arrays_to_bytes(calibration),
        files.INDEX: arrays_to_bytes({"centroids": centroids}),
        **beside(model),
    }
    figures = {"parity": float(f"{parity:.1e}"), "cpu_ms_per_image": cpu_ms_per_image(graph, probe)}
    return _write(out, manifest, contents, figures, ready, arrays[Split.TEST], recipe, note=provenance.note)


def recalibrate_bundle(
    old: Bundle, arrays: Mapping[Split, ImageArrays], recipe: Recipe, provenance: Provenance, out: Path
) -> Bundle:
    """Write a bundle with the network and the detectors of another, and a calibration of its own.

    Args:
        old: Its graph, detectors and centroids stay as they are, byte for byte.
        arrays: Images of the splits `detector-fit` (for the units of the scores), `calibration` and `test`.
        recipe: Of the training of `old`.
        provenance: Name and origin.
        out: Folder of the new bundle; its content is replaced.
    """
    ready = export.session(old.model)
    calibration = calibrate(
        [load_detector(entry, old.detectors) for entry in old.manifest.detectors],
        old.manifest.combination,
        units=_features(ready, arrays[Split.FIT]),
        ordinary=_features(ready, arrays[Split.CALIBRATION]),
        seed=recipe.seed,
    )
    training = old.manifest.training
    images = training.images | {str(Split.CALIBRATION): _counts(arrays[Split.CALIBRATION])}
    manifest = old.manifest.model_copy(
        update={
            "version": provenance.version,
            "created_at": utc_now(),
            "surveys": _survey_entries(calibration, old.manifest.detectors[0].name),
            "training": training.model_copy(update={"images": images, "data_digest": provenance.data_digest}),
        }
    )
    contents = {
        files.MODEL: old.model,
        files.DETECTORS: (old.path / files.DETECTORS).read_bytes(),
        files.CALIBRATION: arrays_to_bytes(calibration),
        files.INDEX: (old.path / files.INDEX).read_bytes(),
    }
    # Of the same graph: neither parity nor cost is measured again.
    figures = {name: old.manifest.figures[name] for name in ("parity", "cpu_ms_per_image")}
    return _write(out, manifest, contents, figures, ready, arrays[Split.TEST], recipe, note=provenance.note)


def build_with_kinds(
    old: Bundle,
    trained: Trained,
    arrays: Mapping[Split, ImageArrays],
    recipe: Recipe,
    provenance: Provenance,
    out: Path,
    *,
    kinds: tuple[str, ...],
    beside: Callable[[TrainableBackbone], Mapping[str, bytes]],
) -> Bundle:
    """Write a bundle with the network, classes and detectors of another, and other heads of the kinds.

    A survey is calibrated again where as many images calibrate it now as before; otherwise its calibration is carried
    over, since such heads hardly change the order of the scores.

    Args:
        old: The other bundle.
        trained: Its backbone with the other heads.
        arrays: Images of every split but `develop`.
        recipe: Hyperparameters of the training.
        provenance: Name and origin.
        out: Folder of the bundle; its content is replaced.
        kinds: Names of the kinds.
        beside: Gives the content of further files, by name, of the backbone as it is exported.

    Raises:
        ExportFailed: Graph and backbone disagree, or results depend on the batch.
    """
    model, fit = trained.model, arrays[Split.FIT]
    graph = export.export(model, old.preprocessing)
    ready = export.session(graph)
    probe = fit.inputs[:: max(1, len(fit) // 64)][:64]
    parity = export.check_parity(model, ready, probe)
    export.check_batches(ready, probe)
    splits = (Split.FIT, Split.CALIBRATION)
    before, after = ([_features(own, arrays[split]) for split in splits] for own in (export.session(old.model), ready))
    detectors = [load_detector(entry, old.detectors) for entry in old.manifest.detectors]
    calibration = _renewed(
        carry_over(
            old.calibration,
            [own for own in detectors if own.entry.kind == "oddity"],
            before=_joined(*before),
            after=_joined(*after),
        ),
        calibrate(detectors, old.manifest.combination, units=after[0], ordinary=after[1], seed=recipe.seed),
    )
    surveys = _survey_entries(calibration, old.manifest.detectors[0].name)
    # Network, detectors and most calibrations are of the images of the other bundle.
    images = old.manifest.training.images | {
        str(Split.CALIBRATION): {name: own.combined_images for name, own in surveys.items()},
        str(Split.TEST): _counts(arrays[Split.TEST]),
    }
    manifest = old.manifest.model_copy(
        update={
            "name": provenance.name,
            "version": provenance.version,
            "created_at": utc_now(),
            "surveys": surveys,
            "kinds": kinds,
            "model": old.manifest.model.model_copy(update={"parameters": sum(p.numel() for p in model.parameters())}),
            "training": _training(trained, arrays, recipe, provenance).model_copy(update={"images": images}),
        }
    )
    contents = {
        files.MODEL: graph,
        files.DETECTORS: (old.path / files.DETECTORS).read_bytes(),
        files.CALIBRATION: arrays_to_bytes(calibration),
        files.INDEX: (old.path / files.INDEX).read_bytes(),
        **beside(model),
    }
    figures = {"parity": float(f"{parity:.1e}"), "cpu_ms_per_image": cpu_ms_per_image(graph, probe)}
    return _write(out, manifest, contents, figures, ready, arrays[Split.TEST], recipe, note=provenance.note)


def _renewed(old: Mapping[str, NDArray[Any]], new: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """The arrays of `old`, with those of each survey that `new` calibrates with at least as many images.

    The pooled ones stay: they are of all surveys, and `new` may know only some.
    """
    surveys = {name.split("/")[0] for name in new} - {POOLED}
    better = {each for each in surveys if len(new[f"{each}/{COMBINED}"]) >= len(old.get(f"{each}/{COMBINED}", ()))}
    kept = {name: array for name, array in old.items() if name.split("/")[0] not in better}
    return kept | {name: array for name, array in new.items() if name.split("/")[0] in better}


def _write(
    out: Path,
    manifest: Manifest,
    contents: Mapping[str, bytes],
    figures: Mapping[str, Any],
    ready: InferenceSession,
    test: ImageArrays,
    recipe: Recipe,
    *,
    note: str,
) -> Bundle:
    """Write a bundle, measure it on the test split, and write it again with figures, card and golden inputs."""
    # Written twice: the figures are measured with the scorer that is used in production, on the written files.
    write_bundle(out, manifest, {**contents, files.CARD: b"figures follow\n"})
    measured = _measure(Scorer(Bundle.load(out)), ready, test, seed=recipe.seed)
    manifest = manifest.model_copy(update={"figures": {**figures, str(Split.TEST): measured}})
    write_bundle(out, manifest, {**contents, files.CARD: model_card.render(manifest, recipe, note=note).encode()})
    add_golden_inputs(out)
    return Bundle.load(out)


def _training(
    trained: Trained, arrays: Mapping[Split, ImageArrays], recipe: Recipe, provenance: Provenance
) -> Training:
    return Training(
        code_version=__version__,
        seed=recipe.seed,
        draws=trained.draws,
        minutes=round(trained.minutes, 1),
        images={str(split): _counts(own) for split, own in arrays.items()},
        data_digest=provenance.data_digest,
    )


def _survey_entries(calibration: Mapping[str, NDArray[np.float64]], detector: str) -> dict[str, SurveyEntry]:
    """How many images calibrate each survey, by the scores of one detector and of the combination."""
    names = [name.split("/")[0] for name in calibration if name.endswith(f"/{COMBINED}")]
    return {
        name: SurveyEntry(
            detector_images=len(calibration[f"{name}/{detector}"]),
            combined_images=len(calibration[f"{name}/{COMBINED}"]),
        )
        for name in names
        if name != POOLED
    }


def add_golden_inputs(folder: Path) -> str:
    """Put simulated cutouts with what it says of them into a bundle, for model servers to compare; its new digest."""
    ready = export.session(Bundle.load(folder).model, threads=1)
    cutouts = [simulate(_GOLDEN_SEED, index, oddity_rate=0.5).jpeg for index in range(_GOLDEN_INPUTS)]
    return with_golden(folder, cutouts, lambda pixels: export.run(ready, pixels))


def _measure(scorer: Scorer, ready: InferenceSession, images: ImageArrays, *, seed: int) -> dict[str, Any]:
    """Evaluation by survey, and of the simulated surveys together."""
    scores = scorer.score(export.run(ready, images.inputs), images.surveys.tolist())
    families = np.array([survey_family(str(name)) for name in images.surveys])
    figures = {}
    for name in sorted({*map(str, images.surveys), *map(str, families)}):
        rows = (images.surveys == name) | (families == name)
        own = images.where(rows)
        selected = [score for score, keep in zip(scores, rows, strict=True) if keep]
        figures[name] = evaluation.figures(
            evaluation.ScoredImages(selected, own.classes, own.oddities), CLASSES, seed=seed
        )
    return figures


def _features(ready: InferenceSession, images: ImageArrays) -> LabelledFeatures:
    """Outputs for ordinary images, of the ONNX graph, because that is what runs in production."""
    ordinary = images.where(images.ordinary)
    return LabelledFeatures(export.run(ready, ordinary.inputs), ordinary.classes, ordinary.surveys)


def _of_new_surveys(fit: LabelledFeatures, arrays: Mapping[Split, ImageArrays]) -> LabelledFeatures:
    """Images of surveys that the network was not trained on: their detectors are fitted on the `detector-fit` split.

    Of the others that split stays unseen by the fit, because it gives the units of the scores.
    """
    rows = ~np.isin(fit.surveys, np.unique(arrays[Split.BACKBONE].surveys))
    return LabelledFeatures(fit.features.rows(rows), fit.classes[rows], fit.surveys[rows])


def _joined(one: LabelledFeatures, two: LabelledFeatures) -> LabelledFeatures:
    return LabelledFeatures(
        Features.concatenated((one.features, two.features)),
        np.concatenate((one.classes, two.classes)),
        np.concatenate((one.surveys, two.surveys)),
    )


def _counts(images: ImageArrays) -> dict[str, int]:
    counts = {str(name): int((images.surveys == name).sum()) for name in np.unique(images.surveys)}
    odd = int((~images.ordinary).sum())
    return counts | ({model_card.ODD_IMAGES: odd} if odd else {})


def cpu_ms_per_image(graph: bytes, inputs: NDArray[np.uint8]) -> float:
    """CPU time of one image in a batch of 32 on one thread, milliseconds: the median of `_COST_RUNS` runs."""
    single = export.session(graph, threads=1)
    batch = np.resize(inputs, (32, *inputs.shape[1:]))
    spent = []
    for _ in range(_COST_RUNS):
        before = time.process_time()
        export.run(single, batch)
        spent.append((time.process_time() - before) / len(batch) * 1000.0)
    return round(float(np.median(spent)), 2)
