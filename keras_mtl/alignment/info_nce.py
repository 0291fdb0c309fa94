"""InfoNCE: rows that belong together are told from all others."""

from typing import Any

import keras
from keras import ops

from keras_mtl.alignment._pairs import DomainAlignment, mean_over_pairs
from keras_mtl.alignment._sample import first_rows, sample


def info_nce(
    x: Any,
    y: Any,
    x_weights: Any = None,
    y_weights: Any = None,
    *,
    temperature: float = 0.1,
    symmetric: bool = True,
) -> Any:
    """`-mean_i log(exp(s_ii / t) / sum_j exp(s_ij / t))`, s_ij the cosine of x_i and y_j, `()`.

    Row i of x and row i of y are a pair; a pair takes part where both rows do, and j runs over the
    pairs that take part. It is between 0 and `log n + 2 / t`, `log n` where nothing is told apart, and
    0 where there are fewer than two pairs.

    Args:
        x: `(n, d)`.
        y: `(n, d)`.
        x_weights: `(n,)`, 1 for rows that take part and 0 for others; all do by default.
        y_weights: `(n,)`, likewise.
        temperature: t.
        symmetric: Whether the mean with that of x and y exchanged is taken: x_i is also to be found
            for y_i.
    """
    _check("info_nce", temperature)
    one, other = sample(x, x_weights), sample(y, y_weights)
    there = one.weights * other.weights
    return _contrast(one.rows, other.rows, there, temperature=temperature, symmetric=symmetric)


@keras.saving.register_keras_serializable("keras_mtl")
class InfoNCE(DomainAlignment):
    """Draws rows together that belong together across domains, and pushes all others apart.

    The first row of one domain in a batch belongs to the first of another, the second to the second,
    and so on, as far as both have rows: lay batches out so, for example a sentence and its translation
    side by side. Where nothing tells which rows belong together, take another alignment.

    van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018,
    arXiv:1807.03748, with cosines for scores as in Chen et al., "A Simple Framework for Contrastive
    Learning of Visual Representations", ICML 2020, arXiv:2002.05709.

    Args:
        domains: How many domains there are.
        temperature: What cosines are divided by.
        symmetric: Whether both domains look for their rows in the other, or the lower alone.
        **kwargs: `weight`, `domain`, and what a Keras layer takes.

    Raises:
        ValueError: If the temperature is not positive.
    """

    def __init__(
        self, domains: int, temperature: float = 0.1, symmetric: bool = True, **kwargs: Any
    ):
        super().__init__(domains, **kwargs)
        _check("alignment.InfoNCE", temperature)
        self.temperature = float(temperature)
        self.symmetric = bool(symmetric)

    def penalty(self, features: Any, domains: Any) -> Any:
        def distance(x: Any, y: Any, x_weights: Any, y_weights: Any) -> Any:
            one, other = sample(x, x_weights), sample(y, y_weights)
            place = ops.cast(ops.arange(ops.shape(x)[0], dtype="int32"), "float32")
            pairs = ops.expand_dims(ops.minimum(one.count, other.count), -1)
            return _contrast(
                first_rows(one), first_rows(other), ops.cast(place < pairs, "float32"),
                temperature=self.temperature, symmetric=self.symmetric,
            )  # fmt: skip

        return mean_over_pairs(distance, features, domains, self.domains)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "symmetric": self.symmetric,
        }


def _check(name: str, temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"`temperature` of {name} is {temperature!r}; expected a positive number.")


def _contrast(x: Any, y: Any, there: Any, *, temperature: float, symmetric: bool) -> Any:
    """Of rows `(..., n, d)`, a pair taking part where `there`, `(..., n)`, is 1."""
    scores = ops.matmul(_directions(x), ops.swapaxes(_directions(y), -2, -1)) / float(temperature)
    found = _told_apart(scores, there)
    if symmetric:
        found = 0.5 * (found + _told_apart(ops.swapaxes(scores, -2, -1), there))
    return found


def _directions(rows: Any) -> Any:
    # The gradient of a length is not finite where it is 0.
    squares = ops.sum(ops.square(rows), axis=-1, keepdims=True)
    return rows * ops.rsqrt(ops.maximum(squares, 1e-12))


def _told_apart(scores: Any, there: Any) -> Any:
    found = ops.where(ops.expand_dims(there, -2) > 0, scores, -1e9)
    lost = ops.logsumexp(found, axis=-1) - ops.diagonal(scores, axis1=-2, axis2=-1)
    lost = ops.where(there > 0, lost, 0.0)
    return ops.sum(lost, axis=-1) / ops.maximum(ops.sum(there, axis=-1), 1.0)
