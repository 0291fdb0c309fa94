"""Towers: a dense layer for each task, side by side, and what several schemes do with them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


class Towers(keras.layers.Layer):
    """One dense layer a tower: K of `(B, ..., d)` to K of `(B, ..., units)`.

    Each draws its own weights at the start.

    Args:
        names: Of the K towers.
        units: Width of each.
        **options: Of `keras.layers.Dense`, the same for each; `name` and `dtype` of the whole.
    """

    def __init__(self, names: Sequence[str], units: int, *, name: str, dtype: Any, **options: Any):
        super().__init__(name=name, dtype=dtype)
        self.supports_masking = True
        self.towers = [
            keras.layers.Dense(units, name=tower, dtype=dtype, **options) for tower in names
        ]

    def build(self, input_shape: Any) -> None:
        """Makes the weights; `input_shape` is that of what every tower reads."""
        for tower in self.towers:
            tower.build(input_shape)

    def call(self, features: Sequence[Any]) -> list[Any]:
        return [tower(x) for tower, x in zip(self.towers, features, strict=True)]

    def stacked(self) -> Any:
        """The weights of each tower in a row, `(K, P)`."""
        rows = [
            ops.concatenate([ops.reshape(v, (-1,)) for v in tower.weights]) for tower in self.towers
        ]
        return ops.stack(rows)


class Penalty(keras.layers.Layer):
    """`strength * loss()`, a loss on weights, in float32 whatever the layer around it computes in.

    Args:
        loss: Reads variables and returns `()`.
    """

    def __init__(self, loss: Callable[[], Any]):
        # Variables are read in the dtype of the innermost layer that runs: half precision would
        # round away how far apart towers are that have come close.
        super().__init__(name="penalty", dtype="float32")
        self.loss = loss
        self.built = True

    def call(self, strength: Any) -> Any:
        return strength * self.loss()


def stack_of_towers(
    names: Sequence[str], units: Sequence[int], input_shape: Any, **options: Any
) -> list[Towers]:
    """Towers of several layers, built: one `Towers` for each layer.

    Args:
        names: Of the K towers.
        units: Width of each layer.
        input_shape: Of what every tower reads.
        **options: Of `Towers`.
    """
    levels = []
    for i, width in enumerate(units):
        level = Towers(names, width, name=f"dense_{i}", **options)
        level.build(input_shape)
        levels.append(level)
        input_shape = widened(input_shape, width)
    return levels


def widened(shape: Any, width: int) -> tuple[int | None, ...]:
    """The shape with `width` features: `(B, ..., d)` to `(B, ..., width)`."""
    return (*shape[:-1], width)


def mixed(shares: Any, parts: Sequence[Any]) -> list[Any]:
    """`sum_j shares[i, j] * parts[j]` for each i: N of `(B, ..., d)` to N of the same.

    Args:
        shares: `(N, N)`, or `(N, N, d)` with shares of its own for each channel.
        parts: N of `(B, ..., d)`.
    """
    stacked = ops.stack(parts)
    # With "..." in its place the gradient is slower by far.
    rows = ops.reshape(stacked, (len(parts), -1, parts[0].shape[-1]))
    equation = "ij,jbd->ibd" if len(shares.shape) == 2 else "ijd,jbd->ibd"
    mixed_rows = ops.einsum(equation, shares, rows)
    return ops.unstack(ops.reshape(mixed_rows, ops.shape(stacked)), len(parts))


def shares_at_start(n: int, own: float) -> np.ndarray:
    """`(n, n)`: `own` on the diagonal, the rest of 1 in equal shares beside it.

    >>> shares_at_start(3, 0.5)
    array([[0.5 , 0.25, 0.25],
           [0.25, 0.5 , 0.25],
           [0.25, 0.25, 0.5 ]])
    """
    if n == 1:
        return np.ones((1, 1))
    return np.where(np.eye(n) > 0, own, (1 - own) / (n - 1))


def widths(scheme: str, units: Any) -> list[int]:
    """`units`, the width of a layer or of each of several, as a list; or what is wrong with it."""
    given = [units] if isinstance(units, int) else list(units)
    if not given:
        raise ValueError(f"`units` of sharing.{scheme} is empty; expected the width of a layer.")
    return [at_least_one(scheme, "units", width) for width in given]


def at_least_one(scheme: str, argument: str, value: int) -> int:
    """Returns `value` as an int of at least 1, or says what is wrong with it."""
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(
            f"`{argument}` of sharing.{scheme} is {value!r}; expected a whole number of at least 1."
        )
    return int(value)


def share(scheme: str, argument: str, value: float) -> float:
    """Returns `value` if 0 <= value <= 1, or says what is wrong with it."""
    if not 0 <= value <= 1:
        raise ValueError(
            f"`{argument}` of sharing.{scheme} is {value!r}; expected a share between 0 and 1."
        )
    return float(value)


def not_negative(scheme: str, argument: str, value: float) -> float:
    """Returns `value` if it is a number from 0 on, or says what is wrong with it."""
    if not isinstance(value, (int, float)) or not value >= 0:
        raise ValueError(
            f"`{argument}` of sharing.{scheme} is {value!r}; expected a number that is not negative."
        )
    return float(value)
