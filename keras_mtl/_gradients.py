"""The gradient engine: the only file that knows `GradientTape` and replicas.

One backward pass of a joint objective for now; the K gradients that gradient balancers trade
are computed here too, so that nothing else has to know how.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops


def backward(
    objective: Callable[[], tuple[Any, Any]], variables: Sequence[keras.Variable]
) -> tuple[list[Any], Any]:
    """Runs `objective` forward and backward once.

    Args:
        objective: Returns the scalar to minimise and whatever else the caller wants back.
        variables: What to differentiate by.

    Returns:
        The gradients, `None` where the objective does not reach a variable, and the rest of what
        `objective` returned.
    """
    with tf.GradientTape() as tape:
        scalar, rest = objective()
    return tape.gradient(scalar, [v.value for v in variables]), rest


def apply(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Any],
    variables: Sequence[keras.Variable],
    multipliers: Mapping[str, float],
) -> None:
    """Takes one optimizer step; variables named in `multipliers` go only that part of the way.

    Scaling the step rather than the gradient is exact for every optimizer, also for those that are
    blind to the scale of a gradient, such as Adam.

    Args:
        multipliers: Learning-rate multiplier by variable path; 1 where a path is not named.
    """
    before = [
        (v, multipliers[v.path], ops.copy(v.value)) for v in variables if v.path in multipliers
    ]
    # A task that no label of this batch belongs to leaves its own variables where they are.
    reached = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
    optimizer.apply([g for g, _ in reached], [v for _, v in reached])
    for variable, multiplier, old in before:
        step = ops.cast(multiplier, variable.dtype) * (variable.value - old)
        variable.assign(old + step)


def replicas() -> int:
    """The number of replicas that train in step; 1 without a `tf.distribute` strategy."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def sum_over_replicas(value: Any) -> Any:
    """The sum of `value` over all replicas, so that a mean is over the labels of all of them."""
    context = tf.distribute.get_replica_context()
    if replicas() == 1 or context is None:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)
