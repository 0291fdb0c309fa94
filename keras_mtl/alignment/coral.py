"""CORAL: the distance between the covariances of two domains."""

from typing import Any

import keras
from keras import ops

from keras_mtl.alignment._moments import covariance
from keras_mtl.alignment._pairs import DomainAlignment, mean_over_pairs
from keras_mtl.alignment._sample import sample, where_comparable


def coral(x: Any, y: Any, x_weights: Any = None, y_weights: Any = None) -> Any:
    """`|C_x - C_y|_F^2 / (4 d^2)`, C a covariance with n - 1 in its denominator, `()`.

    It is 0 where a side has fewer than two rows.

    Args:
        x: `(n, d)`.
        y: `(m, d)`.
        x_weights: `(n,)`, 1 for rows that take part and 0 for others; all do by default.
        y_weights: `(m,)`, likewise.
    """
    one, other = sample(x, x_weights), sample(y, y_weights)
    apart = covariance(one) - covariance(other)
    return where_comparable(ops.mean(ops.square(apart), axis=(-2, -1)) / 4.0, one, other)


@keras.saving.register_keras_serializable("keras_mtl")
class CORAL(DomainAlignment):
    """Gives the domains one covariance; their means may differ.

    Sun and Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV Workshops
    2016, arXiv:1607.01719.

    Args:
        domains: How many domains there are.
        **kwargs: `weight`, `domain`, and what a Keras layer takes.
    """

    def penalty(self, features: Any, domains: Any) -> Any:
        return mean_over_pairs(coral, features, domains, self.domains)
