"""Gaussian KL: the divergence of two domains if each were a Gaussian."""

from functools import partial
from typing import Any

import keras
from keras import ops

from keras_mtl.alignment._forms import check_form, divergence_in
from keras_mtl.alignment._moments import covariance, variance
from keras_mtl.alignment._pairs import DomainAlignment, mean_over_pairs
from keras_mtl.alignment._sample import mean, sample, where_comparable

_COVARIANCES = ("diagonal", "full")


def gaussian_kl(
    x: Any,
    y: Any,
    x_weights: Any = None,
    y_weights: Any = None,
    *,
    form: str = "symmetric",
    covariances: str = "diagonal",
    ridge: float = 0.01,
) -> Any:
    """The divergence of the Gaussians that have two samples' means and covariances, in nats, `()`.

    With P = N(m, C), Q = N(n, D), and n - 1 in the denominator of a covariance,
    `KL(P | Q) = (tr(D^-1 C) + (m - n)^T D^-1 (m - n) - d + log |D| - log |C|) / 2`. "kl" is that with
    x for P and y for Q, "symmetric" is `(KL(P | Q) + KL(Q | P)) / 2`, and "js" is
    `(KL(P | M) + KL(Q | M)) / 2`, where M is the Gaussian with the mean and covariance of the even
    mixture of P and Q; with the mixture itself, of which there is no closed form, it is no larger.
    All are 0 where a side has fewer than two rows.

    Args:
        x: `(n, d)`.
        y: `(m, d)`.
        x_weights: `(n,)`, 1 for rows that take part and 0 for others; all do by default.
        y_weights: `(m,)`, likewise.
        form: "kl", "symmetric" or "js".
        covariances: "diagonal" takes the features for independent; "full" does not, and costs d^3.
        ridge: What is added to all variances, in units of the mean variance of a feature in the even
            mixture of both samples. A feature that varies in one sample alone counts for something of
            the order of 1 / ridge, or of its logarithm in the form "js".
    """
    _check("gaussian_kl", form, covariances, ridge)
    if covariances == "full":
        # Who scales losses leaves out a step that overflows; a Cholesky factor would end the run.
        x, y = (ops.where(ops.isfinite(side), side, ops.zeros_like(side)) for side in (x, y))
    one, other = sample(x, x_weights), sample(y, y_weights)
    spread = variance(one) + variance(other) + 0.5 * ops.square(mean(one) - mean(other))
    # Features that are all alike still differ by the rounding of their size.
    size = ops.square(mean(one)) + ops.square(mean(other))
    little = ops.mean(0.5 * ridge * spread + 1e-10 * size, axis=-1) + 1e-12
    if covariances == "diagonal":
        p, q = ((mean(of), variance(of) + ops.expand_dims(little, -1)) for of in (one, other))
        found = divergence_in(form, _diagonal_kl, p, q, _diagonal_mixture)
    else:
        ridges = ops.expand_dims(little, (-2, -1)) * ops.eye(spread.shape[-1])
        p, q = ((mean(of), covariance(of) + ridges) for of in (one, other))
        found = divergence_in(form, _full_kl, p, q, _full_mixture)
    return where_comparable(found, one, other)


@keras.saving.register_keras_serializable("keras_mtl")
class GaussianKL(DomainAlignment):
    """Gives the domains one mean and one spread: the divergence of Gaussians fitted to their features.

    Kullback and Leibler, "On Information and Sufficiency", Annals of Mathematical Statistics 22, 1951;
    between representations, Nguyen et al., "KL Guided Domain Adaptation", ICLR 2022, arXiv:2106.07780
    (whose encoder gives each row a Gaussian of its own; here a domain has one).

    Args:
        domains: How many domains there are.
        form: "kl" (of the lower domain from the higher), "symmetric" or "js", see `gaussian_kl`.
        covariances: "diagonal", or "full" at a cost of d^3.
        ridge: What is added to all variances, in units of their mean.
        **kwargs: `weight`, `domain`, and what a Keras layer takes.

    Raises:
        ValueError: If an argument is not one of these.
    """

    def __init__(
        self,
        domains: int,
        form: str = "symmetric",
        covariances: str = "diagonal",
        ridge: float = 0.01,
        **kwargs: Any,
    ):
        super().__init__(domains, **kwargs)
        _check("alignment.GaussianKL", form, covariances, ridge)
        self.form = form
        self.covariances = covariances
        self.ridge = float(ridge)

    def penalty(self, features: Any, domains: Any) -> Any:
        distance = partial(
            gaussian_kl, form=self.form, covariances=self.covariances, ridge=self.ridge
        )
        return mean_over_pairs(distance, features, domains, self.domains)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "form": self.form,
            "covariances": self.covariances,
            "ridge": self.ridge,
        }


def _check(name: str, form: str, covariances: str, ridge: float) -> None:
    check_form(name, form)
    if covariances not in _COVARIANCES:
        raise ValueError(
            f"`covariances` of {name} is {covariances!r}; expected one of {list(_COVARIANCES)}."
        )
    if not ridge > 0:
        raise ValueError(
            f"`ridge` of {name} is {ridge!r}; expected a positive number, such as 0.01."
        )


def _diagonal_kl(p: Any, q: Any) -> Any:
    (m, c), (n, d) = p, q
    return 0.5 * ops.sum((c + ops.square(m - n)) / d - 1.0 + ops.log(d) - ops.log(c), axis=-1)


def _diagonal_mixture(p: Any, q: Any) -> Any:
    (m, c), (n, d) = p, q
    return 0.5 * (m + n), 0.5 * (c + d) + 0.25 * ops.square(m - n)


def _full_kl(p: Any, q: Any) -> Any:
    (m, c), (n, d) = p, q
    root, other = ops.cholesky(c), ops.cholesky(d)
    # |L_d^-1 L_c|^2 is the trace of D^-1 C.
    columns = ops.concatenate([root, ops.expand_dims(m - n, -1)], axis=-1)
    ratios = ops.square(ops.solve_triangular(other, columns, lower=True))
    sizes = [ops.log(ops.diagonal(of, axis1=-2, axis2=-1)) for of in (other, root)]
    return 0.5 * (ops.sum(ratios, axis=(-2, -1)) - c.shape[-1]) + ops.sum(sizes[0] - sizes[1], -1)


def _full_mixture(p: Any, q: Any) -> Any:
    (m, c), (n, d) = p, q
    apart = m - n
    between = ops.expand_dims(apart, -1) * ops.expand_dims(apart, -2)
    return 0.5 * (m + n), 0.5 * (c + d) + 0.25 * between
