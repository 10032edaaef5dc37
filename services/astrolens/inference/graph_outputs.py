"""An ONNX graph with other outputs, and without what does not lead to them.

ONNX Runtime computes every node of a graph, whichever outputs are asked for or left. The bytes of a bundle's graph stay
as they are, and with them its digest.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_LABEL: Final = descriptor_pb2.FieldDescriptorProto


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """The same graph with these values, inner ones or outputs, as its only outputs.

    Nodes that do not lead to them are left out, unless a node holds a graph of its own, which may read any value.
    """
    parsed = _model_class().FromString(model)
    graph = parsed.graph
    del graph.output[:]
    for name in names:
        graph.output.add().name = name
    if not any(each.HasField("g") or each.graphs for node in graph.node for each in node.attribute):
        needed, kept = set(names), []
        # Nodes stand in an order in which each follows what it reads.
        for node in reversed(graph.node):
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.append(node)
        nodes = [type(node).FromString(node.SerializeToString()) for node in reversed(kept)]
        del graph.node[:]
        graph.node.extend(nodes)
    return bytes(parsed.SerializeToString())


def output_names(model: bytes) -> frozenset[str]:
    """Names of the graph's outputs."""
    return frozenset(each.name for each in _model_class().FromString(model).graph.output)


def has_value(model: bytes, name: str) -> bool:
    """Whether a node of the graph gives a value of this name."""
    return any(name in node.output for node in _model_class().FromString(model).graph.node)


@cache
def _model_class() -> Any:
    """ONNX's `ModelProto`, of which only what is needed here is declared: what is unknown is kept as it is.

    The package `onnx`, which has all of it, would be the model server's only reason to install 25 MB.
    """
    file = descriptor_pb2.FileDescriptorProto(name="astrolens/onnx_outputs.proto", package="astrolens.onnx_outputs")
    for message, fields in {
        "Value": (("name", 1, _LABEL.TYPE_STRING, _LABEL.LABEL_OPTIONAL, ""),),
        "Subgraph": (),
        "Attribute": (
            ("g", 6, _LABEL.TYPE_MESSAGE, _LABEL.LABEL_OPTIONAL, "Subgraph"),
            ("graphs", 11, _LABEL.TYPE_MESSAGE, _LABEL.LABEL_REPEATED, "Subgraph"),
        ),
        "Node": (
            ("input", 1, _LABEL.TYPE_STRING, _LABEL.LABEL_REPEATED, ""),
            ("output", 2, _LABEL.TYPE_STRING, _LABEL.LABEL_REPEATED, ""),
            ("attribute", 5, _LABEL.TYPE_MESSAGE, _LABEL.LABEL_REPEATED, "Attribute"),
        ),
        "Graph": (
            ("node", 1, _LABEL.TYPE_MESSAGE, _LABEL.LABEL_REPEATED, "Node"),
            ("output", 12, _LABEL.TYPE_MESSAGE, _LABEL.LABEL_REPEATED, "Value"),
        ),
        "Model": (("graph", 7, _LABEL.TYPE_MESSAGE, _LABEL.LABEL_OPTIONAL, "Graph"),),
    }.items():
        made = file.message_type.add(name=message)
        for name, number, kind, label, of in fields:
            own = made.field.add(name=name, number=number, type=kind, label=label)
            if of:
                own.type_name = f".{file.package}.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.Model"))
