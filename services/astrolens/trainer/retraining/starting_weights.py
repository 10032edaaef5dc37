"""The weights of a bundle as a trainable backbone: from its `weights.safetensors`, or from the graph that serves.

A bundle that was made from a checkpoint has its description in `backbone.json`, too.

A bundle that was retrained ships its weights beside the graph. The one that comes with the package has none: its
trainable weights are the constants of the graph. There a linear layer is a `MatMul` with its weights transposed, a
convolution has swallowed its batch normalisation, and the temperature of the kinds is the divisor of the output.
Either way nothing is unpickled.
"""

import io
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from astrolens.science.bundle import Bundle
from astrolens.trainer.backbone import Backbone, BackboneConfig
from astrolens.trainer.trainable_backbone import TrainableBackbone
from astrolens.trainer.vit_backbone import ARCHITECTURE, ViTBackbone, ViTDescription

WEIGHTS: Final = "weights.safetensors"
"""Name of the file in a bundle."""
DESCRIPTION: Final = "backbone.json"
"""Name of the file with the description of a checkpoint."""
_FIXED: Final = ("early.", "generic.")
"""Parts that come from the package of the trunk and are never trained: no bundle repeats them."""
_BATCH_NORMS: Final = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}

Arrays = Mapping[str, NDArray[Any]]


class WeightsNotFound(Exception):
    """A bundle has no weights for this backbone; the message names the first layer without."""


def load_backbone(bundle: Bundle) -> TrainableBackbone:
    """The backbone of a bundle with its weights, in evaluation mode.

    Raises:
        WeightsNotFound: The bundle is of another architecture, or lacks weights.
    """
    manifest = bundle.manifest
    if manifest.model.architecture.startswith(ARCHITECTURE):
        return _load_vit(bundle)
    shipped = load_tensors((bundle.path / WEIGHTS).read_bytes()) if WEIGHTS in manifest.files else None
    shapes = _constants(bundle.model) if shipped is None else shipped
    model = Backbone(manifest.preprocessing, len(manifest.classes), len(manifest.kinds), _config(bundle, shapes))
    own = weights_of_graph(bundle.model, model) if shipped is None else shipped
    wanted = {name for name in model.state_dict() if not name.startswith(_FIXED)}
    if missing := sorted(wanted - own.keys()):
        raise WeightsNotFound(f"the bundle {manifest.name} has no weights of {missing[0]}: it is of another backbone")
    model.load_state_dict(own, strict=False)
    return model.eval()


def _load_vit(bundle: Bundle) -> ViTBackbone:
    manifest = bundle.manifest
    for name in (DESCRIPTION, WEIGHTS):
        if name not in manifest.files:
            raise WeightsNotFound(f"the bundle {manifest.name} has no {name}, which its backbone is trained on from")
    description = ViTDescription.model_validate_json((bundle.path / DESCRIPTION).read_bytes())
    model = ViTBackbone(description, len(manifest.classes), len(manifest.kinds))
    model.load_state_dict(load_tensors((bundle.path / WEIGHTS).read_bytes()))
    return model.eval()


def files_beside(model: TrainableBackbone) -> dict[str, bytes]:
    """The files of a bundle that a later training starts from: every weight that training may change."""
    state = {name: value.contiguous() for name, value in model.state_dict().items() if not name.startswith(_FIXED)}
    files = {WEIGHTS: bytes(save_tensors(state))}
    if isinstance(model, ViTBackbone):
        files[DESCRIPTION] = model.description.model_dump_json(indent=2).encode()
    return files


def with_more_kinds(model: TrainableBackbone, count: int) -> None:
    """Give both heads of the kinds further outputs, up to `count`, that begin as improbable ones."""
    for name in ("kind_head", "pooled_kind_head"):
        head = model.get_submodule(name)
        assert isinstance(head, nn.Linear)  # noqa: S101 - a submodule has no type of its own
        if head.out_features == count:
            continue
        wider = nn.Linear(head.in_features, count)
        with torch.no_grad():
            wider.weight.zero_()
            wider.weight[: head.out_features] = head.weight
            # No kind begins more probable than the rarest of the others.
            wider.bias.fill_(float(head.bias.min()))
            wider.bias[: head.out_features] = head.bias
        setattr(model, name, wider)


def weights_of_graph(graph: bytes, model: Backbone) -> dict[str, Tensor]:
    """The weights by their names in the backbone, from the constants of an exported graph.

    Args:
        graph: Exported by `astrolens.trainer.export`.
        model: A backbone of the same architecture.
    """
    nodes = onnx.load(io.BytesIO(graph)).graph
    constants = _constants(graph)
    state = model.state_dict()
    found = {name: array for name, array in constants.items() if name in state}
    for node in nodes.node:
        layer = node.name.strip("/").rpartition("/")[0].replace("/", ".")
        if node.op_type == "MatMul":
            found |= _linear(layer, node, constants)
        elif node.op_type == "Conv" and layer.startswith("middle."):
            found |= _convolution(layer, node, constants, model)
        elif node.op_type == "Div" and "kinds" in node.output:
            # The mean of two readers: the divisor is twice the temperature.
            found["kind_temperature"] = constants[node.input[1]] / 2.0
    return {
        name: torch.from_numpy(np.array(array)).reshape(state[name].shape).to(state[name].dtype)
        for name, array in found.items()
    } | {name: torch.ones((), dtype=torch.int64) for name in state if name.endswith("num_batches_tracked")}


def _constants(graph: bytes) -> dict[str, NDArray[Any]]:
    """Every constant of a graph by its name."""
    nodes = onnx.load(io.BytesIO(graph)).graph
    constants = {each.name: numpy_helper.to_array(each) for each in nodes.initializer}
    for node in nodes.node:
        # Equal constants are stored once and named by identities; scalars are nodes.
        if node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return constants


def _linear(layer: str, node: Any, constants: Arrays) -> dict[str, NDArray[Any]]:
    weights = next((constants[name] for name in node.input if name in constants), None)
    return {} if weights is None else {f"{layer}.weight": weights.T}


def _convolution(layer: str, node: Any, constants: Arrays, model: Backbone) -> dict[str, NDArray[Any]]:
    """A convolution with the normalisation that it has swallowed: what is left of that only adds the bias."""
    weights, bias = (constants[name] for name in node.input[1:3])
    block, _, own = layer.rpartition(".")
    norm = f"{block}.{_BATCH_NORMS[own]}"
    epsilon = float(model.get_submodule(norm).eps)  # type: ignore[arg-type]
    return {
        f"{layer}.weight": weights,
        f"{norm}.weight": np.ones_like(bias),
        f"{norm}.bias": bias,
        f"{norm}.running_mean": np.zeros_like(bias),
        f"{norm}.running_var": np.full_like(bias, 1.0 - epsilon),
    }


def _config(bundle: Bundle, weights: Mapping[str, Any]) -> BackboneConfig:
    """The hyperparameters of a bundle, from its weights; those that leave no trace in them are the usual ones."""
    manifest = bundle.manifest
    names = [name for name in weights if name.startswith("vit.layers.") and name.endswith(".mlp.fc1.bias")]
    try:
        registers = weights["vit.embeddings.patch_embeddings.registers"].shape
        config = BackboneConfig(
            width=registers[2],
            layers=len(names),
            registers=registers[1],
            mlp_ratio=weights[names[0]].shape[0] // registers[2],
            pooled_width=weights["pooled_reader.1.bias"].shape[0],
        )
    except (KeyError, IndexError):
        config = None
    if config is None or manifest.model.architecture != config.name:
        raise WeightsNotFound(
            f"the bundle {manifest.name} has the backbone {manifest.model.architecture}, and this version retrains "
            f"{BackboneConfig().name} and its like: start from a bundle of this version"
        )
    return config
