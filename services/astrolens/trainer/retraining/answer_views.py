"""Training views of the images that people answered: as they are, in other orientations and as by other instruments."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from onnxruntime import InferenceSession

from astrolens.contracts.records import Answer
from astrolens.science.cutouts import decode_cutout
from astrolens.science.preprocessing import pad_to_square
from astrolens.trainer.early_views import EarlyViews, early_maps
from astrolens.trainer.retraining.data_set import Labelled
from astrolens.trainer.training_views import KIND_NAMES, ViewRanges, context_crop, draw_training_view

LABELLED_ARTEFACT: Final = "labelled-artefact"
LABELLED_ODDITY: Final = "labelled-oddity"
LABELLED_KINDS: Final = {Answer.ARTEFACT: LABELLED_ARTEFACT, Answer.INTERESTING: LABELLED_ODDITY}
"""The kinds that answers teach, beside the drawn ones: artefacts are a class of their own."""
MIN_PER_KIND: Final = 8
"""A kind with fewer answered images is not taught: the network would learn these pictures by heart."""
VIEWS_PER_IMAGE: Final = 8
_PLAIN: Final = ViewRanges(odd=0.0, control=0.0)
"""Nothing is drawn on an answered image: it is what the person saw."""


def kind_names(labelled: Sequence[Labelled], known: Sequence[str]) -> tuple[str, ...]:
    """The kinds of the next bundle: those of the last one, and those that enough answers teach.

    Args:
        labelled: Answered images to train on.
        known: Kinds of the bundle to start from.
    """
    names = list(known or KIND_NAMES)
    for answer, name in LABELLED_KINDS.items():
        if name not in names and sum(each.answer is answer for each in labelled) >= MIN_PER_KIND:
            names.append(name)
    return tuple(names)


def draw_answer_views(
    labelled: Sequence[Labelled], kinds: Sequence[str], early: InferenceSession, *, size: int, seed: int
) -> EarlyViews | None:
    """Early maps of `VIEWS_PER_IMAGE` views of each answered image whose kind is taught; None where there is none.

    Args:
        labelled: Answered images.
        kinds: Names of the kinds, in the order of the network's output.
        early: The early trunk, from `pixels` [n, 3, size, size] to `early`.
        size: Side of a view, pixels.
        seed: Of what is random in them.
    """
    place = {Answer.ORDINARY: 0} | {
        answer: kinds.index(name) for answer, name in LABELLED_KINDS.items() if name in kinds
    }
    chosen = [each for each in labelled if each.answer in place]
    if not chosen:
        return None
    views = []
    for number, each in enumerate(chosen):
        crop = context_crop(pad_to_square(decode_cutout(each.image.path.read_bytes())))
        rng = np.random.default_rng([seed, 2, number])
        views += [draw_training_view(crop, crop, rng, size=size, ranges=_PLAIN).pixels for _ in range(VIEWS_PER_IMAGE)]
    targets = np.repeat([place[each.answer] for each in chosen], VIEWS_PER_IMAGE)
    return EarlyViews(early_maps(early, np.stack(views)), np.full(len(targets), -1), targets.astype(np.int64))
