"""`make bench-science`: what bundles find on real galaxies, and how often they are wrong.

It needs the real data (`../shared/data` or `ASTROLENS_SHARED_DATA`), which are no part of the project.
"""

import argparse
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.scoring import ImageScores
from astrolens.trainer.evaluation import Half, rank_values

from tests.bench.science.answers import AnsweredImages, answer_figures
from tests.bench.science.baselines import known_survey_baselines
from tests.bench.science.bundles import BundleUnderTest
from tests.bench.science.contact_sheets import write_contact_sheet
from tests.bench.science.drawn_kinds import drawn_kind_figures
from tests.bench.science.known_surveys import (
    auroc_difference,
    first_looks,
    ring_figures,
    ring_profile_scores,
    survey_figures,
)
from tests.bench.science.new_skies import LONG_SPLITS, SPLITS, baseline_figures, new_skies, sky_figures
from tests.bench.science.options import has_data, options_of
from tests.bench.science.patch_maps import localisation_figures
from tests.bench.science.pictures import Cutouts, cutouts_of, inputs_of
from tests.bench.science.record import record
from tests.bench.science.report import render
from tests.bench.science.report_plots import write_plots
from tests.bench.science.seeds import seed_rows
from tests.bench.science.shifts import shift_figures
from tests.bench.science.tables import FIT, galaxy_tables, pack_tables
from tests.bench.science.targets import target_rows


def main() -> None:
    """Run the protocol for each bundle, and write table, figures and plots."""
    options = _options()
    if not has_data(options.data, benchmark="bench-science"):
        return
    begun = time.process_time()
    bundles = [BundleUnderTest(path) for path in options.bundle or [PACKAGED_BUNDLE]]
    options.out.mkdir(parents=True, exist_ok=True)
    figures = _measure(bundles, options)
    figures["cpu_s"] = round(time.process_time() - begun)
    figures["seeds"] = seed_rows(figures["bundles"])
    figures["targets"] = target_rows(figures)
    text = render(figures)
    (options.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    (options.out / "report.md").write_text(text)
    write_plots(options.out, figures)
    if options.record:
        digest = record(bundles[-1].path, figures["bundles"][bundles[-1].name])
        text += f"\nThe figures of new skies are written into {bundles[-1].path}, which is now {digest[:8]}.\n"
    sys.stdout.write(text)


def _measure(bundles: list[BundleUnderTest], options: argparse.Namespace) -> dict[str, Any]:
    """All figures: of the baselines, which need no bundle, and of each bundle."""
    cut = partial(cutouts_of, cache=options.cache, workers=options.workers)
    galaxies = {name: cut(table) for name, table in galaxy_tables(options.data).items()}
    packs = {name: cut(table) for name, table in pack_tables(options.data).items()}
    skies = new_skies(galaxies, packs, splits=LONG_SPLITS if options.long else SPLITS)
    figures: dict[str, Any] = {
        "cores": len(os.sched_getaffinity(0)),
        "baselines": {
            "known": {name: known_survey_baselines(cutouts) for name, cutouts in galaxies.items()},
            "new_skies": {sky.name: baseline_figures(sky) for sky in skies},
        },
        "refused": {name: cutouts.refused_figures() for name, cutouts in (galaxies | packs).items()},
        "bundles": {},
    }
    ring_profiles = {"profile of candidates": ring_profile_scores(galaxies["efigi"])}
    first_scores: dict[str, list[ImageScores]] = {}
    for bundle in bundles:
        inputs = partial(inputs_of, spec=bundle.bundle.preprocessing, cache=options.cache, workers=options.workers)
        features = {name: bundle.features(inputs(cutouts)) for name, cutouts in (galaxies | packs).items()}
        scores = {name: bundle.scores(features[name], name) for name in galaxies}
        own = _known(bundle, galaxies, scores)
        if bundle is bundles[-1]:
            _show_strangest(options.out, galaxies, scores)
        of_kinds = bundle.kinds(features["efigi"])
        rings = ring_profiles | {f"kind {name}": values for name, values in of_kinds.items() if "ring" in name}
        own["drawn_kinds"] = {
            name: drawn_kind_figures(cutouts.table, bundle.kinds(features[name])) for name, cutouts in galaxies.items()
        }
        own["rings"] = ring_figures(galaxies["efigi"], scores["efigi"], rings)
        own["cost"] = bundle.cost(inputs(galaxies["sdss"]), galaxies["sdss"].jpegs, "sdss")
        own["new_skies"] = {
            sky.name: sky_figures(bundle, sky, features[sky.table].rows(sky.rows), also_as=sky.also_as) for sky in skies
        }
        if options.long:
            own["patch_maps"] = {
                name: {str(half): localisation_figures(bundle, cutouts, half) for half in (Half.CHOOSE, Half.REPORT)}
                for name, cutouts in galaxies.items()
            }
            own["shifts"] = {name: shift_figures(bundle, cutouts) for name, cutouts in galaxies.items()}
            own["answers"] = answer_figures(
                {name: AnsweredImages(galaxies[name], scores[name], features[name].embedding) for name in galaxies}
            )
        first_scores = first_scores or scores
        if first_scores is not scores:
            own["against_first"] = {
                name: auroc_difference(galaxies[name], scores[name], first_scores[name], Half.REPORT)
                for name in galaxies
            }
        figures["bundles"][bundle.name] = own
    return figures


def _show_strangest(out: Path, galaxies: dict[str, Cutouts], scores: dict[str, list[ImageScores]]) -> None:
    """The review step: the strangest of the images that labels call ordinary."""
    for name, cutouts in galaxies.items():
        rows = np.flatnonzero(cutouts.table.ordinary & (cutouts.table.roles != FIT))
        write_contact_sheet(out / f"strangest-{name}.png", cutouts, rank_values(scores[name]), rows)


def _known(
    bundle: BundleUnderTest, galaxies: dict[str, Cutouts], scores: dict[str, list[ImageScores]]
) -> dict[str, Any]:
    """Figures of a bundle on the surveys that it is calibrated for."""
    own: dict[str, Any] = {
        "name": bundle.bundle.manifest.name,
        "digest": bundle.bundle.digest,
        "seed": bundle.bundle.manifest.training.seed,
    }
    for key, half, reviewed in (
        ("test", Half.REPORT, False),
        ("test_reviewed", Half.REPORT, True),
        ("choose", Half.CHOOSE, False),
    ):
        own[key] = {
            name: survey_figures(cutouts, scores[name], bundle.classes, half, reviewed=reviewed)
            for name, cutouts in galaxies.items()
        }
    both = {name: (galaxies[name], scores[name]) for name in galaxies}
    own["first_looks"], own["first_looks_reviewed"] = first_looks(both), first_looks(both, reviewed=True)
    return own


def _options() -> argparse.Namespace:
    parser = options_of(__doc__)
    parser.add_argument("--bundle", type=Path, action="append", help="a bundle's folder; several stand side by side")
    parser.add_argument(
        "--out", type=Path, default=Path("build/bench-science"), help="folder of report, JSON and plots"
    )
    parser.add_argument(
        "--record", action="store_true", help="write the figures of new skies into manifest and card of the last bundle"
    )
    parser.add_argument(
        "--long", action="store_true", help="also shifted images, answers, and twice the splits: for the model card"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
