"""Balancers that follow the K gradients from step to step, with a memory of each entry."""

import abc
from typing import Any, NamedTuple

from keras import ops

from keras_mtl.balancing._gramian_balancer import GramianBalancer, check_space


class Followed(NamedTuple):
    """What becomes of the K gradients of one variable, each `(K, ...)`; one tensor where they agree.

    Attributes:
        measured: What the Gramian is made of.
        stepped: What the weights combine into the step.
        kept: What is kept for the next step.
    """

    measured: Any
    stepped: Any
    kept: Any


class FollowingBalancer(GramianBalancer):
    """A balancer of gradients that it tracks: as much memory as the K gradients themselves.

    Write `follow`, and `task_weights` on the Gramian of what it measures.
    """

    keeps = True

    def __init__(self, gradients: str = "parameters", **kwargs: Any):
        if check_space(gradients) == "features":
            raise ValueError(
                f"{type(self).__name__} follows gradients from step to step, and those of features "
                "are of other rows each time; use gradients='parameters'."
            )
        super().__init__(gradients, **kwargs)
        if self.every > 1:
            raise ValueError(
                f"{type(self).__name__} follows gradients at every step; leave `every` out."
            )

    @abc.abstractmethod
    def follow(self, gradients: Any, kept: Any, norms: Any, losses: Any) -> Followed:
        """One variable's gradients at this step; of tasks that are absent nothing is used.

        Args:
            gradients: `(K, ...)`.
            kept: `(K, ...)`, zeros at first.
            norms: `(K,)`, the norms of the gradients over all variables.
            losses: `(K,)`, after alpha.
        """


def along(values: Any, gradients: Any) -> Any:
    """`(K,)` in the rank of `(K, ...)`."""
    return ops.reshape(values, (-1, *[1] * (len(gradients.shape) - 1)))
