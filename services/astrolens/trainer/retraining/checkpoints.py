"""Checkpoints of Hugging Face by name: found in the folder of backbones, checked, and loaded without their code.

A name is that of a folder in `backbones` of the home folder, such as `vit-tiny` or `google/vit-base-patch16-224`, with
`config.json`, `preprocessor_config.json` and weights as safetensors. One that is not there is fetched from the hub, but
only where `ASTROLENS_FETCH_HOSTS` names it.
"""

import json
import logging
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from pydantic import BaseModel, ValidationError
from transformers import ViTForImageClassification

from astrolens.contracts.ids import content_digest
from astrolens.contracts.training_runs import BACKBONE_NAME
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer.dataset import CLASSES
from astrolens.trainer.vit_backbone import ViTBackbone, ViTDescription

log = logging.getLogger(__name__)

HUB: Final = "huggingface.co"
_HUB_URL: Final = f"https://{HUB}"
_CONFIG: Final = "config.json"
_PREPROCESSOR: Final = "preprocessor_config.json"
_WEIGHTS: Final = "model.safetensors"
_INDEX: Final = "model.safetensors.index.json"
_PICKLES: Final = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_NAME: Final = re.compile(BACKBONE_NAME)
_HEAD_KEYS: Final = frozenset({"id2label", "label2id"})
_FILTERS: Final = {2: "bilinear", 3: "bicubic", 4: "box"}
"""Pillow's numbers of the filters, as preprocessor files give them."""


class BackboneRefused(ValueError):
    """A checkpoint cannot be a backbone; the message names it, the reason and what to do."""


class _Preprocessor(BaseModel):
    """`preprocessor_config.json`, as far as it matters here."""

    size: int | dict[str, int]
    crop_size: int | dict[str, int] | None = None
    do_center_crop: bool = False
    do_rescale: bool = True
    rescale_factor: float = 1.0 / 255.0
    do_normalize: bool = True
    image_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    image_std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    resample: int = 2


def load_checkpoint(name: str, folder: Path, *, kinds: int, hosts: Collection[str]) -> ViTBackbone:
    """A named checkpoint as a backbone, with new heads.

    Args:
        name: Of its folder, or of its repository on the hub.
        folder: The folder of backbones.
        kinds: Number of kinds that the network shall tell apart.
        hosts: Hosts that may be asked.

    Raises:
        BackboneRefused: It is not there, or is no `ViTForImageClassification` with safetensors and three colours.
    """
    own = find_checkpoint(name, folder, hosts=hosts)
    description = describe(own, name)
    try:
        loaded = ViTForImageClassification.from_pretrained(
            own, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise _refused(name, f"transformers cannot load it: {str(error)[:300]}") from error
    return ViTBackbone(description, len(CLASSES), kinds, loaded.vit)


def find_checkpoint(name: str, folder: Path, *, hosts: Collection[str]) -> Path:
    """The folder of a checkpoint, fetched first where it is not there and the hub may be asked.

    Raises:
        BackboneRefused: It is not there and cannot be fetched.
    """
    if not _NAME.fullmatch(name):
        raise _refused(name, "a name is that of a folder in `backbones`, or `owner/name` of the hub")
    own = folder / name
    if not (own / _CONFIG).is_file():
        if HUB not in hosts:
            raise _refused(
                name,
                f"there is no {own / _CONFIG}: put its config.json, preprocessor_config.json and model.safetensors "
                f"there (`hf download {name} --local-dir {own}` on a machine with internet), or add {HUB} to "
                "ASTROLENS_FETCH_HOSTS",
            )
        _fetch(name, own)
    return own


def describe(folder: Path, name: str) -> ViTDescription:
    """What a checkpoint's files say.

    Raises:
        BackboneRefused: A file is missing or wrong.
    """
    config = _read_json(folder / _CONFIG, name)
    if config.get("model_type") != "vit" or "ViTForImageClassification" not in config.get("architectures", ()):
        found = ", ".join(config.get("architectures") or [str(config.get("model_type"))])
        raise _refused(name, f"it is a {found}, and a ViTForImageClassification is needed")
    try:
        preprocessor = _Preprocessor.model_validate(_read_json(folder / _PREPROCESSOR, name))
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"]))
        raise _refused(name, f"{_PREPROCESSOR} has no usable {field}: save its ViTImageProcessor again") from error
    side, patch = config.get("image_size", 224), config.get("patch_size", 16)
    if not isinstance(side, int) or not isinstance(patch, int) or side % patch or config.get("num_channels", 3) != 3:
        raise _refused(name, f"its input must be square, of whole patches and three colours, not {side} by {patch}")
    size = _side_of(preprocessor)
    if size != side:
        raise _refused(name, f"{_PREPROCESSOR} makes pictures of {size} pixels, and config.json takes {side}")
    if preprocessor.resample not in _FILTERS:
        raise _refused(name, f"{_PREPROCESSOR} resizes by filter {preprocessor.resample}; known are {_FILTERS}")
    normalised = preprocessor.do_normalize
    try:
        spec = PreprocessingSpec.model_validate(
            {"size": side, "views": ("object", "frame"), "resample": _FILTERS[preprocessor.resample]}
        )
    except ValidationError as error:
        raise _refused(name, f"an input of {side} pixels is not between 8 and 512") from error
    return ViTDescription(
        source=name,
        weights_digest=_weights_digest(folder, name),
        config={key: value for key, value in config.items() if key not in _HEAD_KEYS},
        preprocessing=spec,
        mean=preprocessor.image_mean if normalised else (0.0, 0.0, 0.0),
        deviation=preprocessor.image_std if normalised else (1.0, 1.0, 1.0),
        rescale_factor=preprocessor.rescale_factor if preprocessor.do_rescale else 1.0,
    )


def _weights_digest(folder: Path, name: str) -> str:
    if (folder / _WEIGHTS).is_file():
        return content_digest((folder / _WEIGHTS).read_bytes())
    if not (folder / _INDEX).is_file():
        pickled = any((folder / own).is_file() for own in _PICKLES)
        reason = "its weights are pickled, which could run code" if pickled else f"it has no {_WEIGHTS}"
        raise _refused(name, f"{reason}: save it with `model.save_pretrained(folder)` of transformers 5")
    parts = sorted(set(_read_json(folder / _INDEX, name).get("weight_map", {}).values()))
    if any(Path(part).name != part or not part.endswith(".safetensors") for part in parts):
        raise _refused(name, f"{_INDEX} names files that are no safetensors of its folder")
    try:
        digests = [content_digest((folder / part).read_bytes()) for part in parts]
    except FileNotFoundError as error:
        raise _refused(name, f"the part {Path(str(error.filename)).name} of its weights is missing") from error
    return content_digest(" ".join(digests).encode())


def _side_of(preprocessor: _Preprocessor) -> int | None:
    size = preprocessor.crop_size if preprocessor.do_center_crop and preprocessor.crop_size else preprocessor.size
    if isinstance(size, int):
        return size
    height, width = size.get("height"), size.get("width")
    return height if height == width and height is not None else size.get("shortest_edge")


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise _refused(name, f"it has no {path.name}: save model and ViTImageProcessor into one folder") from error
    except ValueError as error:
        raise _refused(name, f"{path.name} is no JSON") from error
    if not isinstance(content, dict):
        raise _refused(name, f"{path.name} is no JSON object")
    return content


def _fetch(name: str, folder: Path) -> None:
    """Fetch configuration and weights from the hub; nothing else of the repository, so that no code comes with them."""
    log.info("fetching %s from %s", name, _HUB_URL)
    for file in (_PREPROCESSOR, _WEIGHTS, _CONFIG):
        try:
            hf_hub_download(name, file, local_dir=folder, endpoint=_HUB_URL)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            raise _refused(
                name,
                f"{file} cannot be fetched from {_HUB_URL} ({str(error).splitlines()[0][:200]}): check name and "
                f"network, or put its files into {folder}",
            ) from error


def _refused(name: str, reason: str) -> BackboneRefused:
    return BackboneRefused(f"the backbone {name[:100]!r} cannot be used: {reason}")
