"""Replicas of a `tf.distribute` strategy that train in step: how many, and sums over all of them."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf


def replicas() -> int:
    """The number of replicas that train in step; 1 without a `tf.distribute` strategy."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def sum_over_replicas(value: Any) -> Any:
    """The sum of `value` over all replicas, so that a mean is over the labels of all of them."""
    context = tf.distribute.get_replica_context()
    if replicas() == 1 or context is None:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def reducible(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Logs of a step in the form in which Keras can average them over replicas of several processes.

    Keras averages the first axis too, which a number has not, so that it is given one.
    """
    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return dict(logs)
    return {name: tf.expand_dims(value, 0) for name, value in logs.items()}
