"""An inner map of a bundle's graph as the output of another session."""

import io

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from astrolens.contracts.patch_maps import PATCH_MAP_SIDE, PATCHES_TAP
from astrolens.inference.engine import Engine, Item
from astrolens.inference.graph_outputs import with_outputs
from astrolens.inference.model_service import describe
from astrolens.inference.patch_graph import PatchGraph, gives_patches
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.bundle import Bundle
from astrolens.science.scoring import Scorer
from onnx import helper

from tests.unit.inference.tiny_bundle import SPEC, picture, tiny_graph


@pytest.fixture(scope="module")
def packaged() -> Bundle:
    return Bundle.load(PACKAGED_BUNDLE)


def test_an_inner_value_becomes_the_only_output() -> None:
    graph = with_outputs(tiny_graph(), ["means"])
    loaded = onnx.load(io.BytesIO(graph))
    assert [output.name for output in loaded.graph.output] == ["means"]
    assert [node.op_type for node in loaded.graph.node] == ["Cast", "ReduceMean"]
    whole = onnx.load(io.BytesIO(tiny_graph()))
    assert len(loaded.graph.initializer) == len(whole.graph.initializer)
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(0, 255, (2, SPEC.channels, SPEC.size, SPEC.size), dtype=np.uint8)
    [means] = session.run(None, {"pixels": pixels})
    assert np.allclose(means, pixels.mean(axis=(2, 3)), atol=1e-3)


def test_nodes_stay_where_one_holds_a_graph_of_its_own() -> None:
    whole = onnx.load(io.BytesIO(tiny_graph()))
    branch = helper.make_graph(
        [helper.make_node("Identity", ["kinds"], ["read"])], "branch", [], [onnx.ValueInfoProto(name="read")]
    )
    whole.graph.node.append(helper.make_node("If", ["chosen"], ["branched"], then_branch=branch, else_branch=branch))
    kept = onnx.load(io.BytesIO(with_outputs(whole.SerializeToString(), ["branched"])))
    assert [node.op_type for node in kept.graph.node] == [node.op_type for node in whole.graph.node]


def test_a_bundle_of_another_architecture_gives_no_patches(tiny_bundle: Bundle) -> None:
    assert not gives_patches(tiny_bundle)
    assert PATCHES_TAP not in describe(tiny_bundle, Scorer(tiny_bundle), "cpu").taps
    with pytest.raises(ValueError, match="gives no patches"):
        PatchGraph(tiny_bundle).run(np.zeros((1, SPEC.channels, SPEC.size, SPEC.size), np.uint8))


def test_the_packaged_bundle_gives_the_frame_bit_by_bit_in_any_batch(packaged: Bundle) -> None:
    graph, spec = PatchGraph(packaged), packaged.preprocessing
    assert PATCHES_TAP in describe(packaged, Scorer(packaged), "cpu").taps
    pixels = np.random.default_rng(0).integers(0, 255, (9, spec.channels, spec.size, spec.size), dtype=np.uint8)
    whole = graph.run(pixels)
    assert whole.shape == (9, PATCH_MAP_SIDE**2 * 40)
    for count in (1, 2, 7):
        assert (graph.run(pixels[:count]) == whole[:count]).all()
    other = pixels.copy()
    other[:, :3] = 0
    assert (graph.run(other) == whole).all()  # the object view takes no part
    other[:, 3:] = 0
    assert not (graph.run(other) == whole).all()


def test_a_light_at_a_place_of_the_frame_changes_the_patch_of_that_place(packaged: Bundle) -> None:
    graph, size = PatchGraph(packaged), packaged.preprocessing.size
    dark = np.full((1, packaged.preprocessing.channels, size, size), 20, np.uint8)
    lit = dark.copy()
    lit[:, 3:, 20:28, 84:92] = 230
    change = np.abs(graph.run(lit) - graph.run(dark)).reshape(PATCH_MAP_SIDE, PATCH_MAP_SIDE, -1).sum(axis=2)
    row, column = np.unravel_index(change.argmax(), change.shape)
    assert abs(int(row) - 3) <= 1
    assert abs(int(column) - 11) <= 1


def test_the_engine_gives_only_the_wanted_maps(tiny_engine: Engine) -> None:
    ids, taps = tiny_engine.extract_taps([Item("a", "", picture(1)), Item("b", "", b"no")], ["scaled"])
    assert (ids, list(taps)) == (["a"], ["scaled"])
    assert tiny_engine.extract_taps([Item("a", "", picture(1))], [])[1] == {}
