"""The harness of the model's life finds a failed request, a mixture of bundles and a difference of weights."""

import torch

from tests.chaos.loop_load import RpcLoad, picture
from tests.chaos.loop_report import mixed
from tests.chaos.training_kills import differences


def test_a_failure_counts_unless_the_server_was_killed_meanwhile() -> None:
    load = RpcLoad("127.0.0.1:9", [])
    load.failures = [(1.0, 2.0, "early"), (5.0, 9.0, "during"), (8.0, 8.5, "inside"), (20.0, 21.0, "late")]
    assert load.failed_outside([(7.0, 10.0)]) == ["early", "late"]
    assert load.failed_outside([]) == ["early", "during", "inside", "late"]


def test_an_old_bundle_after_a_new_one_is_found() -> None:
    def stamps(order: str) -> list[tuple[float, str, str]]:
        return [(float(time), digest, "calibration") for time, digest in enumerate(order)]

    assert not mixed(stamps("aabbaa"), changes=2)
    assert mixed(stamps("aababaa"), changes=2)


def test_weights_that_differ_are_found() -> None:
    weights = {"a": torch.zeros(2), "b": torch.ones(1)}
    assert differences(weights, weights)["tensors that differ"] == 0
    other = differences(weights, weights | {"a": torch.tensor([0.0, 0.25])})
    assert (other["tensors that differ"], other["largest difference"]) == (1, 0.25)


def test_pictures_repeat_and_some_are_odd() -> None:
    odd, plain = picture(16, []), picture(17, [])
    assert (odd.truth.value != "ordinary", plain.truth.value) == (True, "ordinary")
    assert picture(16, []).image_id == odd.image_id != plain.image_id
