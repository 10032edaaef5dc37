"""Render the model card: data, method, figures and limits of a bundle, as Markdown."""

from collections.abc import Iterable
from typing import Any

from astrolens.science.bundle import Manifest
from astrolens.trainer.training import Recipe

_TEMPLATE = """# Model card: {name} {version}

A small vision transformer (`{architecture}`, {parameters:,} weights) with {number} out-of-distribution detectors,
calibrated for each survey apart. It sorts a galaxy picture into {classes}, and says how strange it is
as a p-value: the share of ordinary pictures of the same survey that look at least as strange. An `anomaly` has p ≤ α,
by default 10 false alarms in 1,000 ordinary pictures.

Created {created}, code version {code}, seed {seed};
{draws:,} augmented pictures in {minutes} minutes on a shared two-core machine.

## Data and credit
- SDSS colour cutouts: pixels by the SDSS collaboration; classes of Galaxy Zoo 1, Lintott et al. 2011, MNRAS 410, 166.
- EFIGI: Baillard et al. 2011, A&A 532, A74; classes from its Hubble type and inclination.
- The simulated sky of this package, three instruments.

The pictures are not part of the bundle. Objects that the catalogues call odd (mergers, rings, perturbed, contaminated,
"don't know") took no part in training, fitting or calibration.

## Splits (disjoint, by a hash of the object's id; simulated pictures by seeds of their own)
{splits}

`backbone` trains the network. The detectors' means and covariances are fitted on `backbone` and `detector-fit`, the
softmax temperature on `detector-fit`. `calibration` gives each detector its p-values, `combined-calibration` those
of the combination; its accuracies were also watched while the recipe was chosen. `develop` holds odd objects outside
the test split, used to choose among detectors. `test` gave the figures below, as it did for each earlier build, and
decided nothing.

## Recipe
- Input: {size} px views of {views}, stacked as channels; 8-bit, normalised inside the graph.
- Convolutional stem, {architecture}; embedding = class token and mean patch token, {dim} numbers.
- LogitNorm cross-entropy, τ = {tau}; AdamW, {rate} falling as a cosine; weights averaged over the last steps; one head
  of four classes for all surveys. Surveys are drawn by fixed shares, a class of n pictures by n^{share:.1f}.{note}
- Augmentation: rotation, mirror, zoom, shift, blur, noise, gain, colour, background, gamma.
- Detectors: {detectors}. Mahalanobis has one mean for each class of each survey family and one Ledoit–Wolf covariance.
- Combination: conformal p-values for each detector with an exponential tail beyond the 98 % quantile, Fisher's
  statistic, and a conformal p-value of that statistic on its own split. It keeps the finite-sample guarantee and ends
  at 1/(n+1) for n calibration images: what is stranger than all of them has p ≤ 1/(n+1), and a rank score that orders
  such pictures and is no probability.

## Figures on the test split
### Morphology
{morphology}

### False alarms on ordinary objects, α = 1 %
{alarms}

### Oddities against ordinary objects of the same survey
AUROC (95 % bootstrap interval), AUPRC and FPR at 95 % recall of the combination; AUROC of each detector beside it.
{oddities}

### Cost
{cost} ms of one CPU core an image (ONNX Runtime, fp32, batches of 32). PyTorch and ONNX Runtime agree to
{parity:.0e} of the largest value; a picture gets the same bits in any batch of two or more.

## What it cannot do
- The SDSS test split holds {sdss_odd} odd objects only: its oddity figures are rough. On odd objects outside the test
  split (`develop`: {develop}) the share flagged at α = 1 % is {develop_recall}.
- Galaxy Zoo 1 has no class `irregular`; an SDSS galaxy may still be called so.
- "Odd" in EFIGI is often a faint ring or a foreground star on an ordinary galaxy, which a small network hardly sees.
- A survey without a calibration of its own is scored by the pooled one: its false-alarm rate is then not guaranteed.
"""


def render(manifest: Manifest, recipe: Recipe, *, note: str = "") -> str:
    """The model card, from manifest and recipe.

    Args:
        manifest: With its figures.
        recipe: Hyperparameters of the training.
        note: A sentence about the recipe.
    """
    test, develop = manifest.figures["test"], manifest.figures["develop"]
    odd = {name: own for name, own in test.items() if "auroc" in own["oddities"]}
    detectors = [entry.name for entry in manifest.detectors]
    return _TEMPLATE.format(
        name=manifest.name,
        number={3: "three", 4: "four"}.get(len(detectors), str(len(detectors))),
        version=manifest.version,
        architecture=manifest.model.architecture,
        parameters=manifest.model.parameters,
        classes=", ".join(manifest.classes),
        created=manifest.created_at.date().isoformat(),
        code=manifest.training.code_version,
        seed=manifest.training.seed,
        draws=manifest.training.draws,
        minutes=manifest.training.minutes,
        splits=_splits(manifest),
        size=manifest.preprocessing.size,
        views=" and ".join(_view_text(view) for view in manifest.preprocessing.views),
        dim=manifest.model.embedding_dim,
        tau=recipe.tau,
        share=1.0 - recipe.balance,
        note=f" {note}" if note else "",
        rate=recipe.rate,
        detectors=", ".join(f"{entry.title} (`{entry.name}`)" for entry in manifest.detectors),
        morphology=_table(
            ("survey", "n", "accuracy", "95 %", "macro-F1", "ECE"),
            (
                (
                    name,
                    own["morphology"]["n"],
                    own["morphology"]["accuracy"],
                    _interval(own["morphology"]["accuracy_interval"]),
                    own["morphology"]["macro_f1"],
                    own["morphology"]["expected_calibration_error"],
                )
                for name, own in test.items()
            ),
        ),
        alarms=_table(
            ("survey", "n", "flagged", "rate", "95 %"),
            (
                (
                    name,
                    own["false_alarms"]["n"],
                    own["false_alarms"]["flagged"],
                    own["false_alarms"]["rate"],
                    _interval(own["false_alarms"]["interval"]),
                )
                for name, own in test.items()
            ),
        ),
        oddities=_table(
            ("survey", "n", "AUROC", "95 %", "AUPRC", "FPR95", "recall at α", *detectors),
            (
                (
                    name,
                    own["oddities"]["n"],
                    own["oddities"]["auroc"]["combined"],
                    _interval(own["oddities"]["auroc_interval"]),
                    own["oddities"]["auprc"]["combined"],
                    own["oddities"]["fpr95"]["combined"],
                    own["oddities"]["recall_at_budget"],
                    *(own["oddities"]["auroc"][detector] for detector in detectors),
                )
                for name, own in odd.items()
            ),
        ),
        cost=manifest.figures["cpu_ms_per_image"],
        parity=manifest.figures["parity"],
        sdss_odd=test["sdss"]["oddities"]["n"],
        develop=", ".join(f"{own['oddities']['n']} of {name}" for name, own in develop.items()),
        develop_recall=", ".join(f"{own['oddities']['recall_at_budget']} ({name})" for name, own in develop.items()),
    )


def _view_text(view: float | str) -> str:
    return "the object" if view == "object" else f"{float(view):.0%} of the frame"


def _splits(manifest: Manifest) -> str:
    images = manifest.training.images
    surveys = sorted({name for own in images.values() for name in own})
    return _table(
        ("split", *surveys), ((role, *(own.get(name, 0) for name in surveys)) for role, own in images.items())
    )


def _table(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    titles = tuple(head)
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _interval(pair: list[float]) -> str:
    return f"{pair[0]:g} – {pair[1]:g}"
