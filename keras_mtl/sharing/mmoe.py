"""MMoE: shared experts, and a gate a task."""

from typing import Any

import keras

from keras_mtl.sharing._experts import Mixture, routers, softmax


@keras.saving.register_keras_serializable("keras_mtl")
class MMoE(Mixture):
    """Lets each task weigh the same experts in its own way, row by row.

    Task k reads `sum_e g_e f_e(x)`, where the experts `f_e` are stacks of dense layers and the gate
    is `g = softmax(W_k x)`. In sequences and images each position has a gate.

    Ma, Zhao, Yi, Chen, Hong and Chi, "Modeling Task Relationships in Multi-task Learning with
    Multi-gate Mixture-of-Experts", KDD 2018.

    Args:
        experts: How many experts there are.
        units: Width of each dense layer of an expert.
        activation: Of these layers.

    Raises:
        ValueError: If there is no expert or no layer, or a width is not positive.
    """

    def build_gates(self, input_shape: Any) -> None:
        self.gating = routers(self, self.task_names, self.experts, input_shape, "gates")

    def weigh(self, features: Any, training: bool, mask: Any) -> list[Any]:
        return [softmax(logits) for logits in self.gating([features] * len(self.task_names))]
