"""Write files that the pipeline must reject, for end-to-end tests."""

from pathlib import Path

from PIL import Image, ImageDraw

from tests.made_images import BOMBS, encoded, unusable_files

_MESSAGE = ["Error: the requested area is", "outside the SDSS footprint.", "", "Please try again later"]


def write_bad_files(folder: Path) -> dict[str, str]:
    """Write all files to `folder`.

    Returns:
        Expected rejection code by file name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        **unusable_files(),
        **{f"bomb-{name}": (build(), "bomb") for name, build in BOMBS.items()},
        "error-page": (_error_page(), "error-page"),
    }
    for name, (data, _) in files.items():
        # The name claims JPEG: the content must decide.
        (folder / f"{name}.jpg").write_bytes(data)
    return {f"{name}.jpg": code for name, (_, code) in files.items()}


def _error_page() -> bytes:
    """An error message rendered as a picture, as SkyServer answers with status 200."""
    picture = Image.new("RGB", (423, 423), (0, 0, 0))
    pen = ImageDraw.Draw(picture)
    for line, text in enumerate(_MESSAGE):
        pen.text((20, 40 + 24 * line), text, fill=(255, 255, 255))
    return encoded(picture, "JPEG", quality=90)
