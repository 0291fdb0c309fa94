"""Gradients of `Dense` kernels as products, so that K tasks need not have K of them.

The gradient of a kernel is `A^T D`: what the layer read, `A (B, in)`, and the gradient of its sums
before the activation, `D (B, out)`. The inner products of K such gradients, and a weighted sum of
them, follow from A and the K D's alone,

    <A^T D_i, A^T D_j> = <D_i, (A A^T) D_j>     and     sum_k w_k A^T D_k = A^T (sum_k w_k D_k),

which is less to compute and to keep than K kernels as long as a batch has fewer rows than the layer
is wide. Goodfellow, "Efficient Per-Example Gradient Computations", 2015, arXiv:1510.01799, finds the
norms of single examples' gradients in the same way.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import ops


class Reading(NamedTuple):
    """One call of a `Dense` layer.

    Attributes:
        layer: The layer.
        inputs: `(B, in)`, what it read.
        sums: `(B, out)`, what it made of that before the activation. Gradients go no further than
            here, and on to `inputs`: they do not reach the kernel and the bias.
    """

    layer: keras.layers.Dense
    inputs: Any
    sums: Any


class Product(NamedTuple):
    """The gradient `A^T D` of one target by a kernel.

    Attributes:
        inputs: A, `(B, in)`.
        told: D, `(B, out)`.
    """

    inputs: Any
    told: Any

    def dense(self) -> Any:
        """`(in, out)`."""
        return ops.matmul(ops.transpose(self.inputs), self.told)


class Products(NamedTuple):
    """The gradients `A^T D_k` of K targets by a kernel.

    Attributes:
        inputs: A, `(B, in)`.
        told: D, K of `(B, out)`.
    """

    inputs: Any
    told: Sequence[Any]


Rows = Products | Sequence[Any]


@contextlib.contextmanager
def reading(
    layers: Sequence[keras.layers.Dense], k: int, watch: Callable[[Any], None]
) -> Iterator[list[Reading]]:
    """Notes what these layers read, where K gradients are cheaper as products.

    Args:
        layers: Layers that are called from outside of them alone, under no gradient of their own.
        k: How many gradients there will be.
        watch: Makes a tensor known to the tape.

    Yields:
        The calls, in their order.
    """
    found: list[Reading] = []
    outside = _graph()
    plain = [layer for layer in layers if _is_plain(layer)]
    for layer in plain:
        # On this one object, as long as the model runs: its class and other models' layers stay.
        object.__setattr__(layer, "call", _noting(layer, k, watch, found, outside))
    try:
        yield found
    finally:
        for layer in plain:
            object.__delattr__(layer, "call")


def inner_products(one: Rows, other: Rows, *, lengths_only: bool = False) -> Any:
    """`<g_i, h_j>` of K gradients by a variable and K others by the same, `(K, K)` in float32.

    Args:
        one, other: `Products`, or K tensors.
        lengths_only: Whether only `i = j` is wanted; the rest is then 0.
    """
    if not (isinstance(one, Products) and isinstance(other, Products)):
        left = _each(one)
        return _multiplied(left, left if one is other else _each(other), lengths_only)
    read, also_read = (ops.cast(x.inputs, "float32") for x in (one, other))
    told = [ops.cast(d, "float32") for d in one.told]
    also_told = told if one is other else [ops.cast(d, "float32") for d in other.told]

    def by_rows() -> Any:
        alike = ops.matmul(read, ops.transpose(also_read))
        return _multiplied(told, [ops.matmul(alike, d) for d in also_told], lengths_only)

    def by_kernels() -> Any:
        kernels = [Product(read, d).dense() for d in told]
        if one is other:
            return _multiplied(kernels, kernels, lengths_only)
        others = [Product(also_read, d).dense() for d in also_told]
        return _multiplied(kernels, others, lengths_only)

    rows, limit = read.shape[0], _worthwhile(read.shape[1], told[0].shape[1], len(told))
    if rows is not None:
        return by_rows() if rows < limit else by_kernels()
    return ops.cond(ops.shape(read)[0] < int(limit), by_rows, by_kernels)


def weighted_sum(weights: Sequence[Any], rows: Rows) -> Any:
    """`sum_k w_k g_k` of K gradients by a variable."""
    if isinstance(rows, Products):
        told = _weighted(weights, [ops.cast(d, "float32") for d in rows.told])
        return Product(ops.cast(rows.inputs, "float32"), told).dense()
    return _weighted(weights, rows)


def _each(rows: Rows) -> list[Any]:
    if isinstance(rows, Products):
        rows = [Product(rows.inputs, d).dense() for d in rows.told]
    return [ops.cast(g, "float32") for g in rows]


def _multiplied(one: Sequence[Any], other: Sequence[Any], lengths_only: bool) -> Any:
    if lengths_only:
        return tf.linalg.diag([ops.sum(x * y) for x, y in zip(one, other, strict=True)])
    k = len(one)
    if k < 4:
        # XLA multiplies matrices that are so narrow more slowly than it sums products.
        found = {
            (i, j): ops.sum(x * other[j])
            for i, x in enumerate(one)
            for j in range(k)
            if one is not other or i <= j
        }
        return ops.stack(
            [ops.stack([found.get((i, j), found.get((j, i))) for j in range(k)]) for i in range(k)]
        )
    left, right = (ops.reshape(ops.stack(x), (k, -1)) for x in (one, other))
    return ops.matmul(left, ops.transpose(right))


def _weighted(weights: Sequence[Any], tensors: Sequence[Any]) -> Any:
    # Term by term, which fuses into one pass; a product with a matrix of one row does not.
    terms = [ops.cast(w, g.dtype) * g for w, g in zip(weights, tensors, strict=True)]
    return sum(terms[1:], terms[0])


def _worthwhile(inputs: int, units: int, k: int) -> float:
    """Below how many rows products take fewer multiplications: `B (in + K out) < K in out`."""
    return k * inputs * units / (inputs + k * units)


def _is_plain(layer: keras.layers.Dense) -> bool:
    return (
        type(layer) is keras.layers.Dense
        and layer.trainable
        and not layer.lora_enabled
        and layer.quantization_mode is None
    )


def _noting(layer: Any, k: int, watch: Any, found: list[Reading], outside: Any) -> Any:
    usual = layer.call

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        # Inside of a loop or a branch, whose tensors do not leave it, all is as usual.
        if not isinstance(inputs, tf.Tensor) or inputs.shape.rank != 2 or _graph() is not outside:
            return usual(inputs, *args, **kwargs)
        rows, width = inputs.shape
        if rows is not None and rows >= _worthwhile(width, layer.units, k):
            return usual(inputs, *args, **kwargs)
        sums = ops.matmul(inputs, _constant(layer.kernel))
        if layer.bias is not None:
            sums = ops.add(sums, _constant(layer.bias))
        watch(sums)
        found.append(Reading(layer, inputs, sums))
        return sums if layer.activation is None else layer.activation(sums)

    return call


def _constant(variable: Any) -> Any:
    return ops.stop_gradient(variable.value)


def _graph() -> Any:
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
