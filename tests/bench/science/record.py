"""Write what a bundle reaches on new skies into its manifest and model card: the trainer sees none of those skies."""

import re
from pathlib import Path
from typing import Any, Final

from astrolens.science.bundle import CARD, Bundle, write_bundle

from tests.bench.science.text import percent, table, with_spread

NEW_SKIES: Final = "new_skies"
"""Key in the manifest's figures."""
_SECTION: Final = re.compile(r"### New skies\n.*?(?=### Cost\n)", re.DOTALL)


def record(folder: Path, own: dict[str, Any]) -> str:
    """Write the figures of new skies and first looks into a bundle, and return its new digest.

    Args:
        folder: Of the bundle.
        own: The benchmark's figures of that bundle.

    Raises:
        BundleDamaged: The bundle is not whole.
        ValueError: Its card has no place for them.
    """
    bundle = Bundle.load(folder)
    skies = {name: sky for name, sky in own["new_skies"].items() if "survey_model" in sky}
    figures = {
        **bundle.manifest.figures,
        NEW_SKIES: {name: _figures(sky) for name, sky in skies.items()},
        "first_looks": own["first_looks"],
    }
    text = f"### New skies\n{_text(skies, own['first_looks'])}{_cost(own.get('cost'))}\n\n"
    card, replaced = _SECTION.subn(lambda _: text, bundle.card)
    if not replaced:
        card, replaced = re.subn(r"(?=### Cost\n)", lambda _: text, bundle.card)
    if replaced != 1:
        raise ValueError(f"the model card in {folder} has no section 'Cost' to write before: build the bundle again")
    contents = {name: (folder / name).read_bytes() for name in bundle.manifest.files}
    manifest = bundle.manifest.model_copy(update={"figures": figures})
    return write_bundle(folder, manifest, {**contents, CARD: card.encode()})


def _figures(sky: dict[str, Any]) -> dict[str, float]:
    """Mean over the splits of a survey model's figures, and the spread of its AUROC."""
    own = sky["survey_model"]
    return {
        "auroc": own["auroc"]["mean"],
        "auroc_spread": own["auroc"]["spread"],
        "flagged_at_1_percent": own["flagged_at_0.01"]["mean"],
        "flagged_at_5_percent": own["flagged_at_0.05"]["mean"],
        "recall_at_5_percent": own["recall_at_0.05"]["mean"],
    }


def _cost(cost: dict[str, float] | None) -> str:
    """What the same run took, from JPEG to verdict: the section behind has the graph alone, as the trainer saw it."""
    if cost is None:
        return ""
    return (
        f"\n\nCost in the same run: {cost['engine_cpu_ms_per_image']:g} ms of one CPU core an image from JPEG to "
        f"verdict, {cost['graph_cpu_ms_per_image']:g} of them the graph; with a survey model "
        f"{cost['survey_model_cpu_ms_per_image']:g}."
    )


def _text(skies: dict[str, Any], looks: dict[str, Any]) -> str:
    rows = [
        (
            name,
            with_spread(own["auroc"]),
            percent(own["flagged_at_0.01"]["mean"]),
            percent(own["flagged_at_0.05"]["mean"]),
            percent(own["recall_at_0.05"]["mean"]),
        )
        for name, sky in skies.items()
        for own in (sky["survey_model"],)
    ]
    head = ("sky", "AUROC, mean and spread over splits", "flagged at 1 %", "flagged at 5 %", "recall at p ≤ 5 %")
    return (
        "By `make bench-science`: each sky is judged by a survey model of 300 of its own images, unlabelled. Surveys\n"
        "that are `left out` are known to the network; only their calibration is new.\n\n"
        f"{table(head, rows)}\n\n"
        f"First looks: {looks['found']} ± {looks['spread']} odd ones among the first 100 of a pool of {looks['pool']}, "
        f"{looks['odd']} of them odd."
    )
