"""`make bench-science`: what bundles find on real galaxies, and how often they are wrong.

It needs the real data (`../shared/data` or `ASTROLENS_SHARED_DATA`), which are no part of the project.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.trainer.evaluation import Half

from tests.bench.science.bundles import BundleUnderTest
from tests.bench.science.known_surveys import auroc_difference, first_looks, survey_figures
from tests.bench.science.pictures import cutouts_of, inputs_of
from tests.bench.science.report import render
from tests.bench.science.tables import galaxy_tables

_REPOSITORY = Path(__file__).resolve().parents[3]


def main() -> None:
    """Run the protocol for each bundle, and write table, figures and plots."""
    options = _options()
    if not (options.data / "galaxies" / "labels.csv").is_file():
        print(f"bench-science: skipped, there is no real data at {options.data}; set ASTROLENS_SHARED_DATA")
        return
    begun = time.process_time()
    bundles = [BundleUnderTest(path) for path in options.bundle or [PACKAGED_BUNDLE]]
    options.out.mkdir(parents=True, exist_ok=True)
    figures = _measure(bundles, options)
    figures["cpu_s"] = round(time.process_time() - begun)
    (options.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    text = render(figures)
    (options.out / "report.md").write_text(text)
    sys.stdout.write(text)


def _measure(bundles: list[BundleUnderTest], options: argparse.Namespace) -> dict[str, Any]:
    tables = galaxy_tables(options.data)
    galaxies = {name: cutouts_of(table, cache=options.cache, workers=options.workers) for name, table in tables.items()}
    figures: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "bundles": {}}
    first_scores = None
    for bundle in bundles:
        scores = {}
        own: dict[str, Any] = {"digest": bundle.bundle.digest, "seed": bundle.bundle.manifest.training.seed}
        for name, cutouts in galaxies.items():
            inputs = inputs_of(cutouts, bundle.bundle.preprocessing, cache=options.cache, workers=options.workers)
            scores[name] = bundle.scores(bundle.features(inputs), name)
            own.setdefault("cost", bundle.cost(inputs, cutouts.jpegs, name))
            for key, half, reviewed in (
                ("test", Half.REPORT, False),
                ("test_reviewed", Half.REPORT, True),
                ("choose", Half.CHOOSE, False),
            ):
                own.setdefault(key, {})[name] = survey_figures(
                    cutouts, scores[name], bundle.classes, half, reviewed=reviewed
                )
        own["first_looks"] = first_looks({name: (galaxies[name], scores[name]) for name in galaxies})
        if first_scores is None:
            first_scores = scores
        else:
            own["against_first"] = {
                name: auroc_difference(galaxies[name], scores[name], first_scores[name], Half.REPORT)
                for name in galaxies
            }
        figures["bundles"][bundle.name] = own
    return figures


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.science.main", description=__doc__)
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    data = os.environ.get("ASTROLENS_SHARED_DATA", _REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(data), help="folder of galaxies/ and packs/")
    parser.add_argument("--bundle", type=Path, action="append", help="a bundle's folder; several stand side by side")
    parser.add_argument(
        "--out", type=Path, default=Path("build/bench-science"), help="folder of report, JSON and plots"
    )
    parser.add_argument("--cache", type=Path, default=home / "astrolens-bench" / "science", help="folder of cutouts")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes that decode")
    return parser.parse_args()


if __name__ == "__main__":
    main()
