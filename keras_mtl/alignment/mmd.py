"""MMD: the distance between the means of two domains in the space of a kernel."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras

from keras_mtl.alignment._discrepancy import check, discrepancy
from keras_mtl.alignment._pairs import DomainAlignment, mean_over_pairs

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def mmd(
    x: Any,
    y: Any,
    x_weights: Any = None,
    y_weights: Any = None,
    *,
    estimate: str = "biased",
    bandwidth: str = "mean",
    factors: Sequence[float] = FACTORS,
) -> Any:
    """The squared maximum mean discrepancy, `E k(x, x') + E k(y, y') - 2 E k(x, y)`, `()`.

    `k(u, v)` is the mean over the factors of `exp(-|u - v|^2 / (factor * s))`, where s is the mean, or
    the median, squared distance between two rows of both samples together, a constant for the backward
    pass. It is 0 where a side has fewer than two rows.

    Args:
        x: `(n, d)`.
        y: `(m, d)`.
        x_weights: `(n,)`, 1 for rows that take part and 0 for others; all do by default.
        y_weights: `(m,)`, likewise.
        estimate: "biased" takes the means over all pairs of rows and is never negative; "unbiased"
            leaves out a row's pair with itself; "linear" compares neighbouring rows alone, each once,
            in a time that grows with n instead of its square, and is unbiased too.
        bandwidth: "mean" or "median", the latter at the price of sorting all distances.
        factors: The kernels' widths in units of s.
    """
    check("mmd", estimate, bandwidth, factors)
    return discrepancy(
        [x], [y], x_weights, y_weights, estimate=estimate, bandwidth=bandwidth, factors=factors
    )


@keras.saving.register_keras_serializable("keras_mtl")
class MMD(DomainAlignment):
    """Draws whole distributions together: the squared maximum mean discrepancy of Gaussian kernels.

    Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012; with several kernels, as here, Long et
    al., "Learning Transferable Features with Deep Adaptation Networks", ICML 2015, arXiv:1502.02791
    (whose code has the mean distance for a unit, and the same five factors).

    Args:
        domains: How many domains there are.
        estimate: "biased", "unbiased" or "linear", see `mmd`.
        bandwidth: What the factors are in units of: the "mean" or "median" squared distance.
        factors: The kernels' widths.
        **kwargs: `weight`, `domain`, and what a Keras layer takes.

    Raises:
        ValueError: If an argument is not one of these.
    """

    def __init__(
        self,
        domains: int,
        estimate: str = "biased",
        bandwidth: str = "mean",
        factors: Sequence[float] = FACTORS,
        **kwargs: Any,
    ):
        super().__init__(domains, **kwargs)
        check("alignment.MMD", estimate, bandwidth, factors)
        self.estimate = estimate
        self.bandwidth = bandwidth
        self.factors = [float(f) for f in factors]

    def penalty(self, features: Any, domains: Any) -> Any:
        distance = partial(
            mmd, estimate=self.estimate, bandwidth=self.bandwidth, factors=self.factors
        )
        return mean_over_pairs(distance, features, domains, self.domains)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "estimate": self.estimate,
            "bandwidth": self.bandwidth,
            "factors": list(self.factors),
        }
