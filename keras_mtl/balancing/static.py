"""Static weights: a fixed alpha a task, as a balancer."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._loss_balancer import LossBalancer
from keras_mtl.balancing._preference import check_numbers, vector_of


@keras.saving.register_keras_serializable("keras_mtl")
class Static(LossBalancer):
    """A fixed weight a task: L = sum_k alpha_k L_k, on top of `loss_weights`.

    The same as `compile(loss_weights=...)`, for where a balancer is asked for by name, as in a
    table of balancers; Caruana, "Multitask Learning", Machine Learning 28, 1997.

    Args:
        alphas: Weight by task name; a task that is not named weighs 1.

    Raises:
        TypeError: If the weights are not given by name.
        ValueError: If a weight is negative or not finite, or, when it meets the model, a task is
            unknown.
    """

    def __init__(self, alphas: Mapping[str, float] | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.alphas = check_numbers("alphas", alphas)

    def make_state(self, k: int) -> None:
        vector_of("alphas", self.alphas, self.task_names, 1.0)

    def task_weights(self, losses: Any) -> Any:
        return ops.convert_to_tensor(vector_of("alphas", self.alphas, self.task_names, 1.0))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alphas": dict(self.alphas)}
