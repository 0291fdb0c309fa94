"""The part of a model behind its preprocessing, for clients that do theirs beforehand."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mtl.export._parted_encoders import PartedEncoders, parted_encoders, readers_of

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
_LOOKUPS = (
    keras.layers.IntegerLookup,
    keras.layers.StringLookup,
    keras.layers.TextVectorization,
)


class Preprocessing:
    """Parts a model within its encoders, and where layers end that preprocess an input by themselves.

    Args:
        model: A `MultiTaskModel`.
        names: What the data call its inputs, by the name of the tensor.

    Attributes:
        specs: What the part behind takes: under the name of an input what takes its place, and what
            an encoder makes besides under a name that it gives.
        described: For each name how a client makes it, as JSON has it: the raw inputs that it is
            made `from`, and what the encoder or the layers tell; nothing for inputs that stay raw.

    Raises:
        ValueError: If there is nothing to leave out, or two tensors would have one name.
    """

    def __init__(self, model: Any, names: Mapping[str, str]):
        self._encoders = parted_encoders(model)
        parted = {id(t) for found in self._encoders for t in found.inputs.values()}
        self._before = {names[t.name]: t for t in model.inputs if id(t) not in parted}
        chains = {name: _chain(model, tensor) for name, tensor in self._before.items()}
        self._ends = {name: tensor for name, (tensor, _) in chains.items()}
        if not self._encoders and not any(layers for _, layers in chains.values()):
            raise ValueError(
                "`preprocessed=True` came for a model with nothing to leave out: its inputs "
                f"{list(self._before)} are not read, by itself, by a preprocessing layer of Keras nor "
                "an encoder that preprocesses, such as encoders.Text; leave it out."
            )
        self._named = _names(self._encoders, names, list(self._ends))
        self.specs = {name: tf.TensorSpec(t.shape, t.dtype) for name, t in self._ends.items()}
        self.described = {name: _told(name, made) for name, (_, made) in chains.items() if made}
        for encoder, named in zip(self._encoders, self._named, strict=True):
            raw = [names[tensor.name] for tensor in encoder.inputs.values()]
            for own, name in named.items():
                self.specs[name] = encoder.specs[own]
                source = [names[encoder.inputs[own].name]] if own in encoder.inputs else raw
                self.described[name] = {"from": source, **encoder.described[own]}
        self._model = model
        self._names = dict(names)

    def answers(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Every task's output, from inputs that are preprocessed."""
        given = {
            name: _checked(name, inputs[name], self.described.get(name, {})) for name in inputs
        }
        values = {id(tensor): given[name] for name, tensor in self._ends.items()}
        for encoder, named in zip(self._encoders, self._named, strict=True):
            features = encoder.encode({own: given[name] for own, name in named.items()})
            values.update(zip(map(id, encoder.features), features, strict=True))
        return _outputs_from(self._model, values)

    def prepare(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the preprocessing makes of raw rows."""
        made: dict[str, Any] = {}
        if self._ends:
            raw = {name: tf.constant(rows[name]) for name in self._before}
            made.update(keras.Function(self._before, self._ends)(raw))
        for encoder, named in zip(self._encoders, self._named, strict=True):
            raw = {own: rows[self._names[t.name]] for own, t in encoder.inputs.items()}
            prepared = encoder.prepare(raw)
            made.update({name: prepared[own] for own, name in named.items()})
        # Keras says that one-hot codes are floats, and makes whole numbers.
        return {
            name: tf.cast(made[name], spec.dtype).numpy()
            if spec.dtype != made[name].dtype
            else made[name].numpy()
            for name, spec in self.specs.items()
        }


def _outputs_from(model: Any, values: dict[int, Any]) -> dict[str, Any]:
    """A model's outputs from tensors within its graph, whose values stand under their `id`.

    Keras 3.12 has no `Function` that begins behind more than one layer, and a model would leave
    marks in this one's graph.
    """
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            known = node.is_input or any(id(t) in values for t in node.outputs)
            # What stands before those tensors cannot be told, and nobody asks for it.
            if known or any(id(t) not in values for t in node.input_tensors):
                continue
            args, kwargs = node.arguments.fill_in(values)
            made = keras.tree.flatten(node.operation(*args, **kwargs))
            values.update(zip(map(id, node.outputs), made, strict=True))
    return {name: values[id(tensor)] for name, tensor in model.output.items()}


def _chain(model: Any, tensor: Any) -> tuple[Any, list[Any]]:
    """The last output of the preprocessing layers that stand on an input, and these layers."""
    layers: list[Any] = []
    while True:
        readers = readers_of(model, tensor)
        if len(readers) != 1 or not isinstance(readers[0].operation, _PREPROCESSING):
            return tensor, layers
        (tensor,) = readers[0].output_tensors
        layers.append(readers[0].operation)


def _names(
    encoders: list[PartedEncoders], names: Mapping[str, str], others: list[str]
) -> list[dict[str, str]]:
    """For each what its tensors are called, by the encoder's own names for them."""
    # What takes the place of an input is called as the input is.
    wanted = [
        {
            own: names[found.inputs[own].name] if own in found.inputs else own
            for own in found.described
        }
        for found in encoders
    ]
    count = Counter([*others, *(name for named in wanted for name in named.values())])
    for found, named in zip(encoders, wanted, strict=True):
        first = names[next(iter(found.inputs.values())).name]
        for own, name in named.items():
            if own not in found.inputs and count[name] > 1:
                named[own] = f"{first}_{name}"
    chosen = [*others, *(name for named in wanted for name in named.values())]
    twice = [name for name, times in Counter(chosen).items() if times > 1]
    if twice:
        raise ValueError(
            f"`preprocessed=True` would give two inputs of one signature the name {twice[0]!r}; give "
            "the model's input of that name another one."
        )
    return wanted


def _checked(name: str, given: Any, told: Mapping[str, Any]) -> Any:
    """The tensor; in its place an error where it holds ids that there are not.

    TensorFlow would take a negative one from the vocabulary's end, and one beyond a column's values
    from the next column.
    """
    below = told.get("ids_below")
    if below is None:
        return given
    right = tf.reduce_all((given >= 0) & (given < tf.cast(below, given.dtype)))
    message = f"Input `{name}` holds an id that is not from 0 to {below - 1}:"
    with tf.control_dependencies([tf.debugging.Assert(right, [message, given])]):
        return tf.identity(given)


def _told(name: str, layers: list[Any]) -> dict[str, Any]:
    """Layers of Keras as JSON, with what they have learnt."""
    told = []
    for layer in layers:
        serialized = keras.saving.serialize_keras_object(layer)
        config = {key: serialized[key] for key in ("class_name", "config")}
        if isinstance(layer, _LOOKUPS):
            config["vocabulary"] = [_plain(value) for value in layer.get_vocabulary()]
        if isinstance(layer, keras.layers.Normalization):
            config["mean"] = np.asarray(layer.mean).tolist()
            config["variance"] = np.asarray(layer.variance).tolist()
        told.append(config)
    kinds = " and ".join(layer["class_name"] for layer in told)
    about = {"from": [name], "what": f"through {kinds} of Keras, as `layers` tells", "layers": told}
    if isinstance(layers[-1], _LOOKUPS) and layers[-1].get_config()["output_mode"] == "int":
        about["ids_below"] = layers[-1].vocabulary_size()
    return about


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
