"""GradDrop: at each entry, gradients of one sign only."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._draws import uniform
from keras_mtl.balancing._gradient_balancer import GradientBalancer


def graddrop(gradients: Any, draws: Any, *, leak: float) -> Any:
    """Keeps the positive entries where `draws < P`, else the negative ones, and adds them up.

    `P = (1 + sum_k g_k / sum_k |g_k|) / 2`, the purity of the sign.

    Args:
        gradients: `(K, ...)`.
        draws: `(...)`, uniform on [0, 1).
        leak: How much of each gradient comes through regardless.

    Returns:
        `(...)`.
    """
    # Added up row by row, which fuses into one pass.
    rows = ops.unstack(gradients, gradients.shape[0])
    up = sum((ops.maximum(row, 0.0) for row in rows), start=0.0)
    down = sum((ops.minimum(row, 0.0) for row in rows), start=0.0)
    total, size = up + down, up - down
    purity = 0.5 * (1.0 + total / ops.where(size > 0, size, ops.ones_like(size)))
    return leak * total + (1.0 - leak) * ops.where(draws < purity, up, down)


@keras.saving.register_keras_serializable("keras_mtl")
class GradDrop(GradientBalancer):
    """At every entry draws one sign, by how pure it is, and drops the gradients of the other.

    Where all gradients agree in sign their sum is kept.

    Chen et al., "Just Pick a Sign: Optimizing Deep Multitask Models with Gradient Sign Dropout",
    NeurIPS 2020, arXiv:2010.06808.

    Args:
        leak: How much of each gradient comes through regardless of its sign, from 0 to 1.
        seed: An integer makes the draws repeatable.
        gradients: "parameters" or, as in the paper, "features".

    Raises:
        ValueError: If `leak` is not from 0 to 1.
    """

    def __init__(
        self,
        leak: float = 0.0,
        seed: int | None = None,
        gradients: str = "parameters",
        **kwargs: Any,
    ):
        super().__init__(gradients, **kwargs)
        if not 0 <= leak <= 1:
            raise ValueError(f"`leak` is {leak!r}; expected a number from 0 to 1.")
        self.leak = float(leak)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def combine(self, gradients: Any, present: Any) -> Any:
        shape = ops.shape(gradients)[1:]
        draws = ops.cast(uniform(shape, self.generator), gradients.dtype)
        return graddrop(gradients, draws, leak=self.leak)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "leak": self.leak, "seed": self.seed}
