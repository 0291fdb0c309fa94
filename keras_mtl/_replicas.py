"""Replicas of a `tf.distribute` strategy that train in step: how many, and sums over all of them."""

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
