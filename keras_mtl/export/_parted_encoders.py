"""Encoders between whose halves a served model can begin."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf


class PartedEncoders:
    """Encoders that read the same inputs of a model and preprocess them alike, as groups of tasks do.

    Args:
        nodes: Where they are called in the model's graph.

    Attributes:
        inputs: The model's inputs that they read, by the encoder's own names for them.
        described: What the encoder tells of its preprocessing.
        features: Their outputs in the model's graph.
        specs: What the preprocessing gives, by the encoder's own names.
    """

    def __init__(self, nodes: Sequence[Any]):
        self._encoders = [node.operation for node in nodes]
        arguments = nodes[0].arguments
        self._called_with = next(iter((*arguments.args, *arguments.kwargs.values())))
        names = self._encoders[0].make_inputs()
        if isinstance(self._called_with, Mapping):
            self.inputs = dict(self._called_with)
        else:
            tensors = keras.tree.flatten(self._called_with)
            self.inputs = dict(zip(names, tensors, strict=True))
        self.described: dict[str, Any] = self._encoders[0].describe_preprocessing()
        self.features = [tensor for node in nodes for tensor in node.output_tensors]
        self._traced = tf.function(self._preprocess).get_concrete_function(
            {name: tf.TensorSpec(t.shape, t.dtype) for name, t in self.inputs.items()}
        )
        made = self._traced.structured_outputs
        self.specs = {name: tf.TensorSpec(made[name].shape, made[name].dtype) for name in made}

    def prepare(self, rows: Mapping[str, Any]) -> dict[str, Any]:
        """What the preprocessing makes of rows, both by the encoder's own names."""
        made: dict[str, Any] = self._traced({name: tf.constant(rows[name]) for name in self.inputs})
        return made

    def encode(self, prepared: Mapping[str, Any]) -> list[Any]:
        """The values of `features`, from what the preprocessing gives."""
        found = [encoder.encode(dict(prepared), training=False) for encoder in self._encoders]
        return list(keras.tree.flatten(found))

    def _preprocess(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        values = {id(tensor): inputs[name] for name, tensor in self.inputs.items()}
        given = keras.tree.map_structure(lambda tensor: values[id(tensor)], self._called_with)
        made: dict[str, Any] = self._encoders[0].preprocess(given)
        return made


def parted_encoders(model: Any) -> list[PartedEncoders]:
    """Those that read inputs of the model itself, which nothing else reads."""
    found = []
    inputs = {id(tensor) for tensor in model.inputs}
    nodes = [
        node
        for operation in model.operations
        if getattr(operation, "preprocesses", False)
        for node in operation._inbound_nodes
        if _read(node) <= inputs
    ]
    while nodes:
        alike = [node for node in nodes if _read(node) == _read(nodes[0])]
        told = [node.operation.describe_preprocessing() for node in alike]
        readers = [r for tensor in alike[0].input_tensors for r in readers_of(model, tensor)]
        alone = all(any(reader is node for node in alike) for reader in readers)
        if alone and all(one == told[0] for one in told):
            found.append(PartedEncoders(alike))
        nodes = [node for node in nodes if not any(node is one for one in alike)]
    return found


def readers_of(model: Any, tensor: Any) -> list[Any]:
    """Where in the model's graph a tensor is read."""
    return [
        node
        for operation in model.operations
        for node in operation._inbound_nodes
        if id(tensor) in _read(node)
    ]


def _read(node: Any) -> set[int]:
    return {id(tensor) for tensor in node.input_tensors}
