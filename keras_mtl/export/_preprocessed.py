"""The part of a model behind its preprocessing, for clients that do theirs beforehand."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_PREPROCESSING = (
    keras.layers.CategoryEncoding,
    keras.layers.Discretization,
    keras.layers.Hashing,
    keras.layers.IntegerLookup,
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.StringLookup,
    keras.layers.TextVectorization,
)


class Preprocessing:
    """Parts a model where the preprocessing layers end that stand alone on an input.

    Args:
        model: A `MultiTaskModel`.
        names: What the data call its inputs, by the name of the tensor.

    Attributes:
        specs: What the part behind takes, under the names of the inputs.

    Raises:
        ValueError: If no input has such a layer.
    """

    def __init__(self, model: Any, names: Mapping[str, str]):
        ends = {names[tensor.name]: _end(model, tensor) for tensor in model.inputs}
        before = {names[tensor.name]: tensor for tensor in model.inputs}
        if all(ends[name] is before[name] for name in ends):
            raise ValueError(
                f"`preprocessed=True` came for a model whose inputs {list(ends)} no preprocessing "
                "layer of Keras reads by itself: an encoder of keras_mtl keeps its lookups inside; "
                "leave it out, or build the model from layers such as keras.layers.StringLookup."
            )
        self.specs = {name: tf.TensorSpec(t.shape, t.dtype) for name, t in ends.items()}
        self._before = keras.Function(before, ends)
        self._behind = keras.Function(ends, dict(model.output))

    def answers(self, inputs: Any) -> dict[str, Any]:
        """Every task's output, from inputs that are preprocessed."""
        return dict(self._behind(inputs))

    def prepare(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the preprocessing makes of raw rows."""
        made = self._before({name: tf.constant(rows[name]) for name in self.specs})
        # Keras says that one-hot codes are floats, and makes whole numbers.
        return {
            name: tf.cast(value, spec.dtype).numpy() if spec.dtype != value.dtype else value.numpy()
            for (name, spec), value in zip(self.specs.items(), made.values(), strict=True)
        }


def _end(model: Any, tensor: Any) -> Any:
    """The last output of the chain of preprocessing layers that begins with an input."""
    while True:
        readers = [
            node
            for operation in model.operations
            for node in operation._inbound_nodes
            if any(given is tensor for given in node.input_tensors)
        ]
        if len(readers) != 1 or not isinstance(readers[0].operation, _PREPROCESSING):
            return tensor
        (tensor,) = readers[0].output_tensors
