"""Freezes the schemas of a release: `python -m tests.contract.freeze`.

`make schemas` never touches `schemas/released/`, which is what the compatibility test compares with. This adds what is
new and widened since, and refuses what breaks; `--anew` replaces everything, for a first release or a major version.
"""

import json
import sys
from pathlib import Path

from astrolens.contracts import schemas

from tests.contract.compatibility import avro_breaks, json_breaks

RELEASED = Path(__file__).resolve().parents[2] / "schemas" / "released"


def frozen_kind(name: str) -> bool:
    """Whether a generated file is a promise: schemas are, examples and AsyncAPI follow from them."""
    return name.endswith((".schema.json", ".avsc"))


def breaks_of(name: str, old: str, new: str) -> list[str]:
    """How a generated file breaks its released version, as sentences."""
    compare = avro_breaks if name.endswith(".avsc") else json_breaks
    return [f"{name}: {sentence}" for sentence in compare(json.loads(old), json.loads(new))]


def freeze(folder: Path, *, anew: bool) -> list[str]:
    """Write the released schemas, unless that breaks one; return what it breaks."""
    wanted = {name: text for name, text in schemas.documents().items() if frozen_kind(name)}
    if not anew:
        present = {name: folder / name for name in wanted if (folder / name).is_file()}
        problems = [
            sentence for name, path in present.items() for sentence in breaks_of(name, path.read_text(), wanted[name])
        ]
        if problems:
            return problems
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return []


if __name__ == "__main__":
    found = freeze(RELEASED, anew="--anew" in sys.argv[1:])
    print("\n".join(found) or f"frozen in {RELEASED}")
    sys.exit(1 if found else 0)
