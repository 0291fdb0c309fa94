"""Gradients of a model's answers by what it reads, along a straight way between two inputs.

Words and categories have no gradient. What stands for them is the vector that an `Embedding` layer
looks up, so its calls are noted, and answered with vectors of the way.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_mtl._by_name import as_text


class EmbeddingCall(NamedTuple):
    """One call of an `Embedding` layer.

    Attributes:
        layer: The layer.
        ids: What it looked up, `(B, ...)`, or with further axes folded into the first.
        vectors: What it found, `(*ids.shape, d)`.
    """

    layer: Any
    ids: np.ndarray
    vectors: np.ndarray


class Way(NamedTuple):
    """A batch of B straight ways, each from a start to an end.

    Attributes:
        held: By input name, what stays as it is.
        numbers: By input name, start and end, `(B, ...)` floats; NaN in both where a number is not
            known.
        vectors: By the place of a call among those of `EmbeddingReader`, start and end.
    """

    held: Mapping[str, Any]
    numbers: Mapping[str, tuple[np.ndarray, np.ndarray]]
    vectors: Mapping[int, tuple[np.ndarray, np.ndarray]]


def input_tensors(model: Any) -> dict[str, Any]:
    """The symbolic inputs of a model by the keys under which it takes rows."""
    if isinstance(model.input, Mapping):
        return dict(model.input)
    return {tensor.name: tensor for tensor in model.inputs}


class EmbeddingReader:
    """Tells the calls of a model's `Embedding` layers, traced once and at the cost of these alone.

    Args:
        model: The model; run as in inference.
        inputs: Rows by input name, of the kinds that will come.
    """

    def __init__(self, model: Any, inputs: Mapping[str, np.ndarray]):
        self._symbols = input_tensors(model)
        self._layers: list[Any] = []
        found = _embeddings(model)
        specs = {name: _spec(self._symbols[name], inputs[name]) for name in self._symbols}

        @tf.function(input_signature=[specs], autograph=False)
        def read(rows: Any) -> Any:
            noted: list[EmbeddingCall] = []
            with _in_place_of(found, {}, noted):
                model(_structured(model, rows), training=False)
            self._layers = [call.layer for call in noted]
            return [(call.ids, call.vectors) for call in noted]

        self._read = read if found else None

    def calls(self, inputs: Mapping[str, np.ndarray]) -> list[EmbeddingCall]:
        """The calls in one pass over these rows, in their order."""
        if self._read is None:
            return []
        rows = {name: _tensor(inputs[name], s.dtype) for name, s in self._symbols.items()}
        found = [(ids.numpy(), vectors.numpy()) for ids, vectors in self._read(rows)]
        return [EmbeddingCall(x, *pair) for x, pair in zip(self._layers, found, strict=True)]


class PathGradients:
    """Gradients on ways of one kind, traced once for all batches.

    Args:
        model: A model of named outputs; run as in inference.
        way: One of the ways: what moves, and what stays.
        seeds: By task, `(B, ...)` as served: the target is the sum of the outputs times this.
    """

    def __init__(self, model: Any, way: Way, seeds: Mapping[str, np.ndarray]):
        self._symbols = input_tensors(model)
        self._tasks = list(seeds)
        layers = _embeddings(model)
        moving = [tf.TensorSpec(self._symbols[k].shape, "float32") for k in way.numbers]
        for _, end in way.vectors.values():
            moving.append(tf.TensorSpec((*(None,) * (end.ndim - 1), end.shape[-1]), "float32"))
        held = [_spec(self._symbols[name], values) for name, values in way.held.items()]
        weights = [tf.TensorSpec((None,) * seed.ndim, "float32") for seed in seeds.values()]
        names, places = [*way.numbers], [*way.vectors]
        signature = [tf.TensorSpec((), "float32"), moving, moving, held, weights]

        @tf.function(input_signature=signature, autograph=False)
        def at(place: Any, first: Any, steps: Any, stay: Any, seeds: Any) -> Any:
            with tf.GradientTape(persistent=True) as tape:
                here = [one + place * step for one, step in zip(first, steps, strict=True)]
                tape.watch(here)
                numbers = dict(zip(names, here[: len(names)], strict=True))
                vectors = dict(zip(places, here[len(names) :], strict=True))
                inputs = {**dict(zip(way.held, stay, strict=True)), **numbers}
                with _in_place_of(layers, vectors, []):
                    served = model(_structured(model, inputs), training=False)
                targets = [
                    _sums(tf.cast(served[task], "float32"), seed)
                    for task, seed in zip(self._tasks, seeds, strict=True)
                ]
            return targets, [_filled(tape.gradient(target, here), here) for target in targets]

        self._at = at

    def on(self, way: Way, seeds: Mapping[str, np.ndarray]) -> "Walk":
        """The gradients on a batch of ways of this kind, with its seeds."""
        pairs = [*way.numbers.values(), *way.vectors.values()]
        first = [tf.constant(start, "float32") for start, _ in pairs]
        steps = [
            tf.constant(end, "float32") - tf.constant(start, "float32") for start, end in pairs
        ]
        held = [_tensor(v, self._symbols[k].dtype) for k, v in way.held.items()]
        weights = [tf.constant(seeds[task], "float32") for task in self._tasks]
        return Walk(
            lambda place: self._at(tf.constant(place, "float32"), first, steps, held, weights),
            self._tasks,
            [x.shape for x in first],
        )


class Walk:
    """The targets and their gradients at any place of a batch of ways, from 0 to 1.

    Args:
        at: Gives the targets, and for each the gradient by each thing that moves.
        tasks: The tasks that targets are of.
        shapes: Of what moves: the numbers, then the vectors.
    """

    def __init__(self, at: Callable[[float], Any], tasks: Sequence[str], shapes: Sequence[Any]):
        self._at = at
        self._tasks = tasks
        self._shapes = shapes

    def targets(self, place: float) -> dict[str, np.ndarray]:
        """By task, `(B,)`."""
        found = self._at(place)[0]
        return {t: v.numpy().astype("float64") for t, v in zip(self._tasks, found, strict=True)}

    def integrals(self, nodes: Sequence[tuple[float, float]]) -> dict[str, list[np.ndarray]]:
        """By task, the sum over places of weight times gradient: of the numbers, then the vectors."""
        totals = {
            task: [np.zeros(shape, "float64") for shape in self._shapes] for task in self._tasks
        }
        for place, weight in nodes:
            for task, gradients in zip(self._tasks, self._at(place)[1], strict=True):
                for total, gradient in zip(totals[task], gradients, strict=True):
                    total += weight * gradient.numpy()
        return totals


def _sums(served: Any, seed: Any) -> Any:
    if seed.shape.rank > 2:
        # Other batches may have longer texts.
        seed = seed[:, : tf.shape(served)[1]]
    return tf.reduce_sum(tf.reshape(served * seed, (tf.shape(served)[0], -1)), axis=1)


def _filled(gradients: Sequence[Any], like: Sequence[Any]) -> list[Any]:
    # None is exact: no way leads from there to the target.
    return [
        tf.zeros_like(x) if g is None else tf.convert_to_tensor(g)
        for g, x in zip(gradients, like, strict=True)
    ]


def _embeddings(model: Any) -> list[Any]:
    found = model._flatten_layers(include_self=False)
    return [layer for layer in found if isinstance(layer, keras.layers.Embedding)]


def _structured(model: Any, by_name: Mapping[str, Any]) -> Any:
    """Rows by name, as tensors, in the structure that a model takes them in."""
    made = {
        name: value if tf.is_tensor(value) else _tensor(value, symbol.dtype)
        for name, symbol in input_tensors(model).items()
        for value in [by_name[name]]
    }
    if isinstance(model.input, Mapping):
        return made
    return keras.tree.pack_sequence_as(model.input, list(made.values()))


def _spec(symbol: Any, values: np.ndarray) -> Any:
    return tf.TensorSpec(symbol.shape, "string" if values.dtype.kind in "OUS" else symbol.dtype)


def _tensor(values: np.ndarray, dtype: str) -> Any:
    text = values.dtype.kind in "OUS"
    return tf.constant(as_text(values) if text else values, None if text else dtype)


@contextlib.contextmanager
def _in_place_of(
    layers: Sequence[Any], given: Mapping[int, Any], noted: list[EmbeddingCall]
) -> Iterator[None]:
    """Answers the i-th call of these layers with `given[i]` where there is one; notes every call."""
    outside = tf.compat.v1.get_default_graph()
    for layer in layers:
        # On this one object, as long as the model runs: its class and other models' layers stay.
        object.__setattr__(layer, "call", _noting(layer, given, noted, outside))
    try:
        yield
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")


def _noting(layer: Any, given: Mapping[int, Any], noted: list[EmbeddingCall], outside: Any) -> Any:
    usual = layer.call

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        # From vectors back to words, as language models end; or inside of a loop or a branch, whose
        # tensors do not leave it.
        if kwargs.get("reverse") or any(args) or tf.compat.v1.get_default_graph() is not outside:
            return usual(inputs, *args, **kwargs)
        vectors = usual(inputs, *args, **kwargs)
        mine = given.get(len(noted))
        noted.append(EmbeddingCall(layer, inputs, vectors))
        if mine is None:
            return vectors
        return tf.ensure_shape(tf.cast(mine, vectors.dtype), vectors.shape)

    return call
