"""The heads of the kinds fitted again: answers are learned, drawn views keep what they meant, nothing else moves."""

import copy

import numpy as np
import pytest
import torch
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer.backbone import Backbone, BackboneConfig
from astrolens.trainer.early_views import EarlyViews, PreparedViews
from astrolens.trainer.retraining.kind_heads import refit_head, refit_kind_heads, targets_of
from astrolens.trainer.retraining.starting_weights import with_more_kinds
from torch import nn

SPEC = PreprocessingSpec(size=32, views=("object", "frame"))
TINY = BackboneConfig(width=20, layers=1, registers=2, pooled_width=8)
KINDS = 4
TAUGHT = 4


def views(seed: int, count: int, *, kind: int | None = None, shift: float = 0.0) -> EarlyViews:
    rng = np.random.default_rng(seed)
    maps = rng.normal(shift, 1.0, (count, 40, 4, 4)).astype(np.float16)
    kinds = rng.integers(0, KINDS, count) if kind is None else np.full(count, kind)
    return EarlyViews(maps, np.full(count, -1), kinds.astype(np.int64))


@pytest.fixture(scope="module")
def model() -> Backbone:
    torch.manual_seed(4)
    own = Backbone(SPEC, 4, KINDS, TINY).eval()
    with_more_kinds(own, KINDS + 1)
    return own


def probabilities(model: Backbone, own: EarlyViews) -> torch.Tensor:
    with torch.inference_mode():
        outputs = model.forward_early(torch.from_numpy(own.maps.astype(np.float32)))
    return ((outputs.kinds + outputs.pooled_kinds) / 2.0).softmax(dim=1)


def test_answers_are_learned_and_drawn_views_stay_what_they_were(model: Backbone) -> None:
    prepared = PreparedViews(views(1, 200), views(2, 50), "digest")
    answers = views(3, 40, kind=TAUGHT, shift=1.5)
    steps: list[tuple[int, int]] = []
    trained = refit_kind_heads(
        copy.deepcopy(model), prepared, answers, on_step=lambda done, of: steps.append((done, of))
    )
    fitted = trained.model
    assert isinstance(fitted, Backbone)
    before, after = (probabilities(own, answers)[:, TAUGHT] for own in (model, fitted))
    assert float(after.median()) > 0.5 > float(before.median())
    new = views(4, 100)
    change = (probabilities(fitted, new) - probabilities(model, new)).abs().mean()
    assert float(change) < 0.05
    assert steps[-1] == (3, 3)
    assert trained.draws == 240


def test_nothing_but_both_heads_and_their_temperature_changes(model: Backbone) -> None:
    prepared = PreparedViews(views(1, 60), views(2, 30), "digest")
    fitted = refit_kind_heads(copy.deepcopy(model), prepared, views(3, 20, kind=TAUGHT)).model.state_dict()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, fitted[name])}
    heads = {"kind_head.weight", "kind_head.bias", "pooled_kind_head.weight", "pooled_kind_head.bias"}
    assert changed == heads | {"kind_temperature"}


def test_without_answers_the_heads_stay(model: Backbone) -> None:
    prepared = PreparedViews(views(1, 60), views(2, 30), "digest")
    fitted = refit_kind_heads(copy.deepcopy(model), prepared, None).model
    for before, after in zip(model.kind_head.parameters(), fitted.kind_head.parameters(), strict=True):
        assert torch.allclose(before, after, atol=1e-4)


def test_a_penalty_keeps_a_head_near_its_weights() -> None:
    torch.manual_seed(1)
    features, answered = torch.randn(80, 6), torch.full((20,), 2)
    moved = []
    for penalty in (0.01, 1.0, 100.0):
        torch.manual_seed(2)
        head = nn.Linear(6, 3)
        start = head.weight.detach().clone()
        refit_head(head, features, targets_of(head, features[:60], answered), penalty=penalty)
        moved.append(float((head.weight.detach() - start).norm()))
    assert moved[0] > moved[1] > moved[2]
    assert moved[2] < 0.02
