"""Files that are no usable image, each harmful or useless in its own way."""

from pathlib import Path

from PIL import Image, ImageDraw

from tests.made_images import BOMBS, encoded, rubbish

_MESSAGE = ["Error: the requested area is", "outside the SDSS footprint.", "", "Please try again later"]


def write_bad_files(folder: Path) -> dict[str, str]:
    """Write them all; by name the code each deserves."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        **rubbish(),
        **{f"bomb-{name}": (build(), "bomb") for name, build in BOMBS.items()},
        "error-page": (_error_page(), "error-page"),
    }
    for name, (data, _) in files.items():
        # Whatever the name says, the bytes decide.
        (folder / f"{name}.jpg").write_bytes(data)
    return {f"{name}.jpg": code for name, (_, code) in files.items()}


def _error_page() -> bytes:
    """An error message rendered as a picture, as SkyServer answers with status 200."""
    picture = Image.new("RGB", (423, 423), (0, 0, 0))
    pen = ImageDraw.Draw(picture)
    for line, text in enumerate(_MESSAGE):
        pen.text((20, 40 + 24 * line), text, fill=(255, 255, 255))
    return encoded(picture, "JPEG", quality=90)
