"""The optimizer's step: taken in part where a variable is to go slower, not at all if it is not sound."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_mtl._replicas import replicas


def finite(gradients: Sequence[Any]) -> Any:
    """Whether all gradients are finite, `()`: their sum is not if one of them is not."""
    sums = [
        tf.reduce_sum(tf.cast(g.values if isinstance(g, tf.IndexedSlices) else g, tf.float32))
        for g in gradients
        if g is not None
    ]
    return tf.math.is_finite(tf.add_n(sums)) if sums else tf.constant(True)


def apply(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Any],
    variables: Sequence[keras.Variable],
    multipliers: Mapping[int, float],
    taken: Any = None,
) -> None:
    """Takes one optimizer step; variables that are in `multipliers` go only that part of the way.

    Scaling the step rather than the gradient is exact for every optimizer, also for those that are
    blind to the scale of a gradient, such as Adam.

    Args:
        multipliers: Learning-rate multiplier by the `id` of a variable; 1 where one is not there.
        taken: Whether to take it at all, a boolean tensor; None for yes. Replicas, which cannot wait
            for each other in one branch of two, take a step along no gradient instead.
    """
    # A task that no label of this batch belongs to leaves its own variables where they are.
    reached = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]

    def step() -> Any:
        before = [
            (v, multipliers[id(v)], ops.copy(v.value)) for v in variables if id(v) in multipliers
        ]
        optimizer.apply([g for g, _ in reached], [v for _, v in reached])
        for variable, multiplier, old in before:
            part = ops.cast(multiplier, variable.dtype) * (variable.value - old)
            variable.assign(old + part)
        return taken

    if taken is None:
        step()
    elif replicas() > 1:
        reached = [(_unless(taken, g), v) for g, v in reached]
        step()
    else:
        tf.cond(taken, step, lambda: taken)


def _unless(taken: Any, gradient: Any) -> Any:
    """The gradient, or zeros."""
    if isinstance(gradient, tf.IndexedSlices):
        values = tf.where(taken, gradient.values, tf.zeros_like(gradient.values))
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return tf.where(taken, gradient, tf.zeros_like(gradient))
