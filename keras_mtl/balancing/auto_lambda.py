"""Auto-Lambda: weights that lower the losses of rows that a step has not seen."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._names import refuse_unknown
from keras_mtl.balancing._adam import Adam
from keras_mtl.balancing._scaling import matvec
from keras_mtl.balancing._split_balancer import SplitBalancer


@keras.saving.register_keras_serializable("keras_mtl")
class AutoLambda(SplitBalancer):
    """Learns the weights of training losses by what a step with them does to held-out ones.

    A step along task i's gradient lowers the held-out loss of a primary task j by the inner product of
    i's gradient on one part of the batch and j's on the other; Adam moves the weights that way. That
    is the paper's gradient as the virtual step becomes small, and needs no second derivative. The
    first part makes the step.

    Liu, James, Davison and Johns, "Auto-Lambda: Disentangling Dynamic Task Relationships", TMLR 2022,
    arXiv:2202.03091.

    Args:
        primary: The tasks whose held-out losses count; all by default. Others are auxiliary.
        learning_rate: Of the weights; the paper uses 1e-4.
        initial: Where the weights start; 0.1 in the paper.

    Raises:
        ValueError: If a number is not positive, or, when it meets the model, a task is unknown.
    """

    compared = ((0, 1),)
    stepped = (0,)

    def __init__(
        self,
        primary: Sequence[str] | None = None,
        learning_rate: float = 1e-4,
        initial: float = 0.1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not learning_rate > 0 or not initial > 0:
            raise ValueError(
                f"AutoLambda came with `learning_rate` {learning_rate!r} and `initial` {initial!r}; "
                "expected positive numbers."
            )
        self.primary = None if primary is None else list(primary)
        self.learning_rate = float(learning_rate)
        self.initial = float(initial)

    def make_state(self, k: int) -> None:
        primary = self.task_names if self.primary is None else self.primary
        refuse_unknown("primary", primary, self.task_names)
        self._primary = np.array([name in primary for name in self.task_names], "float32")
        start = keras.initializers.Constant(self.initial)
        self.lambdas = Adam(self, "lambdas", start, self.learning_rate)

    def task_weights(self, products: Any, losses: Any, present: Any) -> Any:
        gain = matvec(products[0, :, 1, :], self._primary * present)
        self.lambdas.step(-gain, present > 0)
        weights = self.lambdas.value.value
        return ops.stack([weights, ops.zeros_like(weights)])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "primary": self.primary,
            "learning_rate": self.learning_rate,
            "initial": self.initial,
        }
