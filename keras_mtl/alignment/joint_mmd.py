"""Joint MMD: MMD of several layers at once, features and predictions together."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.alignment._discrepancy import check, discrepancy
from keras_mtl.alignment._pairs import DomainAlignment, mean_over_pairs
from keras_mtl.alignment.mmd import FACTORS


def joint_mmd(
    x: Sequence[Any],
    y: Sequence[Any],
    x_weights: Any = None,
    y_weights: Any = None,
    *,
    estimate: str = "biased",
    bandwidth: str = "mean",
    factors: Sequence[float] = FACTORS,
) -> Any:
    """The squared MMD of layers taken together, in the product of their kernels, `()`.

    Two rows are alike where they are alike in every layer: `k(u, v) = prod_l k_l(u_l, v_l)`, each k_l
    that of `mmd`, with a unit of its own. Of one layer it is `mmd`.

    Args:
        x: One batch at every layer, each `(n, d_l)`.
        y: The other batch at the same layers, each `(m, d_l)`.
        x_weights: `(n,)`, 1 for rows that take part and 0 for others; all do by default.
        y_weights: `(m,)`, likewise.
        estimate: "biased", "unbiased" or "linear", see `mmd`.
        bandwidth: "mean" or "median".
        factors: The kernels' widths, the same in all layers.
    """
    check("joint_mmd", estimate, bandwidth, factors)
    return discrepancy(
        x, y, x_weights, y_weights, estimate=estimate, bandwidth=bandwidth, factors=factors
    )


@keras.saving.register_keras_serializable("keras_mtl")
class JointMMD(DomainAlignment):
    """Draws the joint distributions of several layers together, such as features and predictions.

    The layers come as one tensor, concatenated along its last axis, and `widths` tells where each of
    them ends.

    Long, Zhu, Wang and Jordan, "Deep Transfer Learning with Joint Adaptation Networks", ICML 2017,
    arXiv:1605.06636.

    Args:
        domains: How many domains there are.
        widths: How many of the features each layer has, in their order; all are one layer by default.
        estimate: "biased", "unbiased" or "linear", see `mmd`.
        bandwidth: What the factors are in units of: the "mean" or "median" squared distance.
        factors: The kernels' widths.
        **kwargs: `weight`, `domain`, and what a Keras layer takes.

    Raises:
        ValueError: If an argument is not one of these, or the widths are not those of the features.
    """

    def __init__(
        self,
        domains: int,
        widths: Sequence[int] = (),
        estimate: str = "biased",
        bandwidth: str = "mean",
        factors: Sequence[float] = FACTORS,
        **kwargs: Any,
    ):
        super().__init__(domains, **kwargs)
        check("alignment.JointMMD", estimate, bandwidth, factors)
        if not all(w >= 1 for w in widths):
            raise ValueError(
                f"`widths` of alignment.JointMMD came as {widths!r}; expected positive widths."
            )
        self.widths = [int(w) for w in widths]
        self.estimate = estimate
        self.bandwidth = bandwidth
        self.factors = [float(f) for f in factors]

    def build(self, input_shape: Any) -> None:
        if self.widths and sum(self.widths) != input_shape[-1]:
            raise ValueError(
                f"`widths` of alignment.JointMMD are {self.widths}, which is {sum(self.widths)} "
                f"features, but there are {input_shape[-1]}; give the width of every layer."
            )
        self.built = True

    def penalty(self, features: Any, domains: Any) -> Any:
        def distance(x: Any, y: Any, x_weights: Any, y_weights: Any) -> Any:
            return joint_mmd(
                self._split(x), self._split(y), x_weights, y_weights,
                estimate=self.estimate, bandwidth=self.bandwidth, factors=self.factors,
            )  # fmt: skip

        return mean_over_pairs(distance, features, domains, self.domains)

    def _split(self, features: Any) -> Sequence[Any]:
        ends = [sum(self.widths[: i + 1]) for i in range(len(self.widths) - 1)]
        return ops.split(features, ends, axis=1) if ends else [features]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "widths": list(self.widths),
            "estimate": self.estimate,
            "bandwidth": self.bandwidth,
            "factors": list(self.factors),
        }
