"""Balancers that look at the K gradients' inner products: K backward passes, combined by weights."""

import abc
from typing import Any

from keras import ops

from keras_mtl.balancing._balancer import Balancer
from keras_mtl.balancing._scaling import diagonal_matrix

_SPACES = ("parameters", "features")


class GramianBalancer(Balancer):
    """A balancer that needs the Gramian `G[i, j] = <g_i, g_j>` of the K gradients.

    Attributes:
        gradients: "parameters" for the gradients of the shared parameters, K backward passes;
            "features" for those of the shared representation, one pass through the trunk.
        every: It balances at each `every`-th step. In between a step goes with the last weights, at
            the price of one backward pass through the trunk.
        stand_in: What stands in for a task that is absent from a batch, so that it has no say:
            "apart", a gradient at right angles to all others and longer than they are; "mean", the
            mean of the others; or "nothing", and the method leaves absent tasks out by itself.
    """

    needs = "gramian"
    stand_in = "apart"

    def __init__(self, gradients: str = "parameters", every: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.gradients = check_space(gradients)
        self.every = check_every(every, gradients)

    @abc.abstractmethod
    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        """The weight of each task's gradient at this step.

        Args:
            gramian: `(K, K)`, finite; absent tasks are stood in for, or have zeros.
            losses: `(K,)`, after alpha; absent tasks have the mean of the others, or 0.
            present: `(K,)`, 1 for a task with labels in the batch, else 0.

        Returns:
            `(K,)`; what it says of absent tasks is not used.
        """

    def weigh(self, gramian: Any, losses: Any, present: Any) -> Any:
        """`task_weights` of the tasks that are present, and 0 for the others.

        Args:
            gramian: `(K, K)`; zero rows and columns for absent tasks.
            losses: `(K,)`, after alpha; 0 for absent tasks.
            present: `(K,)` booleans.
        """
        there = ops.cast(present, "float32")
        if self.stand_in == "nothing":
            weights = self.task_weights(gramian, losses, there)
            return ops.where(present, weights, ops.zeros_like(weights))
        count = ops.maximum(ops.sum(there), 1.0)
        losses = ops.where(present, losses, ops.sum(there * losses) / count)
        if self.stand_in == "mean":
            mixing = ops.where(
                ops.expand_dims(present, 1), ops.eye(len(self.task_names)), there / count
            )
            filled = ops.matmul(ops.matmul(mixing, gramian), ops.transpose(mixing))
            weights = self.task_weights(filled, losses, there)
            weights = ops.matmul(ops.transpose(mixing), ops.expand_dims(weights, 1))[:, 0]
        else:
            trace = ops.sum(ops.diagonal(gramian))
            length = ops.where(trace > 0, 2.0 * trace, ops.ones_like(trace))
            filled = gramian + diagonal_matrix((1.0 - there) * length)
            weights = self.task_weights(filled, losses, there)
        return ops.where(present, weights, ops.zeros_like(weights))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gradients": self.gradients, "every": self.every}


def check_space(gradients: str) -> str:
    """Which gradients are balanced.

    Raises:
        ValueError: If it is neither "parameters" nor "features".
    """
    if gradients not in _SPACES:
        raise ValueError(
            f"`gradients` is {gradients!r}; expected 'parameters' (of the shared layers) or "
            "'features' (of what they give, cheaper)."
        )
    return gradients


def check_every(every: int, gradients: str) -> int:
    """How often is balanced.

    Raises:
        ValueError: If it is not a positive integer, or there is nothing to be saved.
    """
    if not isinstance(every, int) or every < 1:
        raise ValueError(f"`every` is {every!r}; expected a positive integer.")
    if every > 1 and gradients == "features":
        raise ValueError(
            "`every` saves backward passes through the trunk, of which gradients='features' needs one "
            "at every step; leave one of the two out."
        )
    return every
