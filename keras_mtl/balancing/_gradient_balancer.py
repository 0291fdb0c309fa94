"""Balancers that look at the K gradients entry by entry: K backward passes."""

import abc
from typing import Any

from keras_mtl.balancing._balancer import Balancer
from keras_mtl.balancing._gramian_balancer import check_space


class GradientBalancer(Balancer):
    """A balancer that combines the K gradients of one variable at a time.

    Attributes:
        gradients: "parameters" for the gradients of the shared parameters, K backward passes;
            "features" for those of the shared representation, one pass through the trunk.
    """

    needs = "gradients"

    def __init__(self, gradients: str = "parameters", **kwargs: Any):
        super().__init__(**kwargs)
        self.gradients = check_space(gradients)

    @abc.abstractmethod
    def combine(self, gradients: Any, present: Any) -> Any:
        """One gradient from K.

        Args:
            gradients: `(K, ...)` of one variable; zeros where a task is absent or does not reach it.
            present: `(K,)` booleans.

        Returns:
            `(...)`.
        """

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gradients": self.gradients}
