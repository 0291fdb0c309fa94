"""The maximum mean discrepancy of a product of Gaussian kernels, one a layer, and its estimates."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.alignment._kernels import BANDWIDTHS, gaussian, squared_distances, unit_of
from keras_mtl.alignment._sample import Sample, first_rows, sample, where_comparable

ESTIMATES = ("biased", "unbiased", "linear")


def check(name: str, estimate: str, bandwidth: str, factors: Sequence[float]) -> None:
    """Says what is wrong with the arguments of a discrepancy, if anything is.

    Raises:
        ValueError: If one of them is not what it can be.
    """
    for argument, given, known in (
        ("estimate", estimate, ESTIMATES),
        ("bandwidth", bandwidth, BANDWIDTHS),
    ):
        if given not in known:
            raise ValueError(f"`{argument}` of {name} is {given!r}; expected one of {list(known)}.")
    if not len(factors) or not all(f > 0 for f in factors):
        raise ValueError(
            f"`factors` of {name} came as {factors!r}; expected positive numbers, one a kernel."
        )


def discrepancy(
    xs: Sequence[Any],
    ys: Sequence[Any],
    x_weights: Any,
    y_weights: Any,
    *,
    estimate: str,
    bandwidth: str,
    factors: Sequence[float],
) -> Any:
    """The squared discrepancy in the kernel `prod_l k_l`, k_l Gaussian on layer l, `(...)`.

    Args:
        xs: The layers of one side, each `(n, d_l)`.
        ys: The same layers of the other side, each `(m, d_l)`.
        x_weights: `(..., n)`, 0 for rows that take no part; all do by default.
        y_weights: `(..., m)`, likewise.
        estimate: "biased", "unbiased" or "linear".
        bandwidth: The unit of the factors, in each layer: "mean" or "median".
        factors: The kernels' widths.
    """
    layers = [(sample(x, x_weights), sample(y, y_weights)) for x, y in zip(xs, ys, strict=True)]
    units = [unit_of(x, y, bandwidth) for x, y in layers]
    if estimate == "linear":
        value = _linear(layers, units, factors)
    else:
        value = _quadratic(layers, units, factors, unbiased=estimate == "unbiased")
    return where_comparable(value, *layers[0])


def _quadratic(
    layers: Sequence[tuple[Sample, Sample]],
    units: Sequence[Any],
    factors: Sequence[float],
    *,
    unbiased: bool,
) -> Any:
    """`mean k(x, x') + mean k(y, y') - 2 mean k(x, y)` over all pairs, or those of two rows."""

    def kernel(one: int, other: int) -> Any:
        product: Any = 1.0
        for sides, unit in zip(layers, units, strict=True):
            squares = squared_distances(sides[one].rows, sides[other].rows)
            product = product * gaussian(squares, ops.expand_dims(unit, (-2, -1)), factors)
        return product

    def mass(values: Any, one: Any, other: Any) -> Any:
        row = ops.matmul(ops.expand_dims(one, -2), values)
        return ops.sum(ops.squeeze(row, -2) * other, axis=-1)

    def within(side: int) -> Any:
        of, values = layers[0][side], kernel(side, side)
        total = mass(values, of.weights, of.weights)
        if not unbiased:
            return total / ops.maximum(ops.square(of.count), 1.0)
        alone = ops.diagonal(values, axis1=-2, axis2=-1)
        total = total - ops.sum(of.weights * alone, axis=-1)
        return total / ops.maximum(of.count * (of.count - 1.0), 1.0)

    x, y = layers[0]
    across = mass(kernel(0, 1), x.weights, y.weights)
    return within(0) + within(1) - 2.0 * across / ops.maximum(x.count * y.count, 1.0)


def _linear(
    layers: Sequence[tuple[Sample, Sample]], units: Sequence[Any], factors: Sequence[float]
) -> Any:
    """The mean of `k(x, x') + k(y, y') - k(x, y') - k(x', y)` over neighbours, each row used once."""
    x, y = layers[0]
    pairs = ops.minimum(ops.shape(x.rows)[0], ops.shape(y.rows)[0]) // 2
    place = ops.arange(pairs, dtype="int32")
    # x and x', y and y' of every layer.
    rows = [
        [ops.take(first_rows(side), 2 * place + i, axis=-2) for side in sides for i in (0, 1)]
        for sides in layers
    ]

    def kernel(one: int, other: int) -> Any:
        product: Any = 1.0
        for found, unit in zip(rows, units, strict=True):
            squares = ops.sum(ops.square(found[one] - found[other]), axis=-1)
            product = product * gaussian(squares, ops.expand_dims(unit, -1), factors)
        return product

    terms = kernel(0, 1) + kernel(2, 3) - kernel(0, 3) - kernel(1, 2)
    there = ops.minimum(x.count, y.count) // 2
    used = ops.cast(ops.cast(place, "float32") < ops.expand_dims(there, -1), "float32")
    return ops.sum(used * terms, axis=-1) / ops.maximum(there, 1.0)
