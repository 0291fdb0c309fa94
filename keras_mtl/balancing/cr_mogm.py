"""CR-MOGM: another balancer's weights, smoothed over steps."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._gramian_balancer import GramianBalancer
from keras_mtl.balancing.mgda import MGDA


@keras.saving.register_keras_serializable("keras_mtl")
class CRMOGM(GramianBalancer):
    """Takes the moving mean of the weights that another balancer finds.

    Those of one batch are noisy and correlated with its gradients, which keeps methods like MGDA from
    converging; smooth ones do. The first weights count in full.

    Zhou, Zhang, Jiang, Zhong, Gu and Zhu, "On the Convergence of Stochastic Multi-Objective Gradient
    Manipulation and Beyond", NeurIPS 2022.

    Args:
        balancer: A balancer by the Gramian; `MGDA()` by default.
        momentum: How much of the mean stays at a step. The paper lets it rise to 1 as the learning
            rate falls.
        gradients: "parameters" or "features".
        every: How often the gradients are balanced, in steps.

    Raises:
        TypeError: If `balancer` is not one by the Gramian.
        ValueError: If the momentum is not from 0 to below 1.
    """

    # The other balancer has its own way with absent tasks.
    stand_in = "nothing"

    def __init__(
        self,
        balancer: GramianBalancer | dict[str, Any] | None = None,
        momentum: float = 0.9,
        gradients: str = "parameters",
        **kwargs: Any,
    ):
        super().__init__(gradients, **kwargs)
        if isinstance(balancer, dict):
            balancer = keras.saving.deserialize_keras_object(balancer)
        inner = MGDA() if balancer is None else balancer
        if not isinstance(inner, GramianBalancer) or inner.keeps:
            raise TypeError(
                f"CRMOGM smooths the weights of a balancer by the Gramian such as MGDA(), but came "
                f"with {balancer!r}."
            )
        if not 0 <= momentum < 1:
            raise ValueError(f"`momentum` is {momentum!r}; expected a number from 0 to below 1.")
        self.balancer = inner
        self.momentum = float(momentum)

    def make_state(self, k: int) -> None:
        self.balancer.bind(self.task_names)
        self.mean = self.vector("mean")
        self.seen = self.vector("seen")

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        here = present > 0
        found = self.balancer.weigh(gramian, losses, here)
        stays = self.momentum * self.seen
        mean = ops.where(here, stays * self.mean + (1.0 - stays) * found, self.mean)
        self.mean.assign(mean)
        self.seen.assign(ops.where(here, 1.0, self.seen))
        return mean

    def get_config(self) -> dict[str, Any]:
        inner = keras.saving.serialize_keras_object(self.balancer)
        return {**super().get_config(), "balancer": inner, "momentum": self.momentum}
