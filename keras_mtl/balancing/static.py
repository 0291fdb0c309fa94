"""Static weights: a fixed alpha a task, as a balancer."""

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_mtl._names import refuse_unknown
from keras_mtl.balancing._loss_balancer import LossBalancer


@keras.saving.register_keras_serializable("keras_mtl")
class Static(LossBalancer):
    """A fixed weight a task: L = sum_k alpha_k L_k, on top of `loss_weights`.

    The same as `compile(loss_weights=...)`, for where a balancer is asked for by name, as in a
    table of balancers; Caruana, "Multitask Learning", Machine Learning 28, 1997.

    Args:
        alphas: Weight by task name; a task that is not named weighs 1.

    Raises:
        ValueError: If a weight is negative or not finite, or, when it meets the model, a task is
            unknown.
    """

    def __init__(self, alphas: Mapping[str, float] | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.alphas = dict(alphas or {})
        for name, alpha in self.alphas.items():
            if not math.isfinite(alpha) or alpha < 0:
                raise ValueError(
                    f"`alphas` of task {name!r} is {alpha!r}; expected a finite number that is not "
                    "negative."
                )

    def make_state(self, k: int) -> None:
        refuse_unknown("alphas", self.alphas, self.task_names)

    def task_weights(self, losses: Any) -> Any:
        alphas = [float(self.alphas.get(name, 1.0)) for name in self.task_names]
        return ops.convert_to_tensor(alphas, dtype=losses.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alphas": dict(self.alphas)}
