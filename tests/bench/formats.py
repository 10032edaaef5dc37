"""Cost of decoding one image, by format, in a warm process: part of `make bench`.

Milliseconds of processor time, the least of several rounds. `python -m tests.bench.formats` runs it alone.
"""

import json
import sys
from collections.abc import Mapping
from time import process_time

import numpy as np
from astrolens.science.cutouts import ImageRejected, make_cutout
from astropy.io import fits

from tests.made_images import encoded, fits_bytes, rgb, sky
from tests.made_packets import packet, rubin_record, ztf_record

_ROUNDS = 7
_ROUND_S = 0.05

_LONG_HEADER = fits.Header([(f"KEY{number}", number, "a keyword of the pipeline") for number in range(150)])
_TAN = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 11.0, "CRPIX2": 23.5, "CRVAL1": 150.0, "CRVAL2": 2.2,
    "CD1_1": -1e-4, "CD1_2": 2e-5, "CD2_1": 2e-5, "CD2_2": 1e-4, "RADESYS": "ICRS", "FILTER": "r",
    "DATE-OBS": "2019-06-10T10:13:03.5",
}  # fmt: skip
_SIP = _TAN | {
    "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-6, "B_1_1": 1e-6
}  # fmt: skip
_GALACTIC = _TAN | {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}


def _fits(side: int, cards: Mapping[str, object], *, planes: int = 1) -> bytes:
    values = sky(side) if planes == 1 else np.stack([sky(side, seed=number) for number in range(planes)])
    header = _LONG_HEADER.copy()
    header.update(cards)
    return fits_bytes(fits.PrimaryHDU(values, header))


def files() -> dict[str, bytes]:
    """A file of each kind that is measured."""
    return {
        "JPEG 423": encoded(rgb(423), "JPEG", quality=95),
        "PNG 256": encoded(rgb(256), "PNG"),
        "PNG 16-bit grey 256": encoded((sky(256) * 100).astype(np.uint16), "PNG"),
        "FITS 63, no position": _fits(63, {}),
        "FITS 256, no position": _fits(256, {}),
        "FITS 256, TAN": _fits(256, _TAN),
        "FITS 256, TAN-SIP": _fits(256, _SIP),
        "FITS 256, galactic": _fits(256, _GALACTIC),
        "FITS 256, 3 bands, TAN": _fits(256, _TAN, planes=3),
        "FITS 512, TAN": _fits(512, _TAN),
        "FITS 2048, TAN": _fits(2048, _TAN),
        "alert packet, ZTF 3 x 63": packet(ztf_record()),
        "alert packet, Rubin 3 x 63": packet(rubin_record()),
    }


def measured() -> dict[str, float]:
    """Milliseconds of processor time an image, by kind of file."""
    return {name: _cost_ms(data) for name, data in files().items()}


def _cost_ms(data: bytes) -> float:
    try:
        # The first one imports what its format needs.
        make_cutout(data)
    except ImageRejected:
        return float("nan")
    start = process_time()
    make_cutout(data)
    repeats = max(1, int(_ROUND_S / max(process_time() - start, 1e-4)))
    rounds = []
    for _ in range(_ROUNDS):
        start = process_time()
        for _ in range(repeats):
            make_cutout(data)
        rounds.append((process_time() - start) / repeats)
    return 1000 * min(rounds)


def report(figures: Mapping[str, float]) -> None:
    """Print the table."""
    print(f"{'decoding, by format':26}{'CPU-ms/image':>14}")
    for name, cost_ms in figures.items():
        print(f"{name:26}{cost_ms:14.2f}")


if __name__ == "__main__":
    costs = measured()
    report(costs)
    if "--json" in sys.argv:
        print(json.dumps(costs))
