"""FairGrad: the tasks share the step as flows share a network."""

from typing import Any

import keras

from keras_mtl.balancing._fair import fair_weights
from keras_mtl.balancing._gramian_balancer import GramianBalancer


@keras.saving.register_keras_serializable("keras_mtl")
class FairGrad(GramianBalancer):
    """Takes the alpha-fair step: `G w = w^(-1/alpha)` with positive weights.

    Towards alpha = 0 it adds up gains (equal weighting), at 1 it is proportionally fair (the
    equation of Nash-MTL), and as alpha grows the task that gains least counts for ever more.

    Ban and Ji, "Fair Resource Allocation in Multi-Task Learning", ICML 2024, arXiv:2402.15638.

    Args:
        alpha: Of the fairness; the paper's best on NYU-v2 and QM9 is 2.
        gradients: "parameters" or "features".

    Raises:
        ValueError: If `alpha` is not positive.
    """

    def __init__(self, alpha: float = 2.0, gradients: str = "parameters", **kwargs: Any):
        super().__init__(gradients, **kwargs)
        if not alpha > 0:
            raise ValueError(f"`alpha` is {alpha!r}; expected a positive number.")
        self.alpha = float(alpha)

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        return fair_weights(gramian, alpha=self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}
