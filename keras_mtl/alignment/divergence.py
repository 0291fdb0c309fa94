"""Divergence: how far apart what is predicted for two domains is, on the whole."""

from functools import partial
from typing import Any

import keras
from keras import ops

from keras_mtl.alignment._forms import check_form, divergence_in
from keras_mtl.alignment._pairs import DomainAlignment, mean_over_pairs
from keras_mtl.alignment._sample import Sample, mean, sample, where_comparable


def divergence(
    x: Any,
    y: Any,
    x_weights: Any = None,
    y_weights: Any = None,
    *,
    form: str = "js",
    from_logits: bool = False,
) -> Any:
    """The divergence of the mean prediction of one batch from that of another, in nats, `()`.

    With p the mean of the rows of x that take part, and q that of y, each class having 1e-7 added and
    the sum being 1 again, "kl" is `KL(p | q) = sum_c p_c log(p_c / q_c)`, "symmetric" is
    `(KL(p | q) + KL(q | p)) / 2`, and "js" is `(KL(p | r) + KL(q | r)) / 2` with `r = (p + q) / 2`,
    which is at most log 2. All are 0 where a side has fewer than two rows.

    Args:
        x: `(n, C)`, probabilities of classes, each row's sum being 1.
        y: `(m, C)`, likewise.
        x_weights: `(n,)`, 1 for rows that take part and 0 for others; all do by default.
        y_weights: `(m,)`, likewise.
        form: "kl", "symmetric" or "js".
        from_logits: Whether x and y are logits, whose softmax is taken first.
    """
    check_form("divergence", form)
    _check_classes("divergence", x.shape[-1])
    if from_logits:
        x, y = (ops.softmax(ops.cast(side, "float32"), axis=-1) for side in (x, y))
    one, other = sample(x, x_weights), sample(y, y_weights)
    found = divergence_in(
        form, _kl, _mean_prediction(one), _mean_prediction(other), lambda p, q: 0.5 * (p + q)
    )
    return where_comparable(found, one, other)


@keras.saving.register_keras_serializable("keras_mtl")
class Divergence(DomainAlignment):
    """Predicts classes equally often in every domain: the divergence of the mean predictions.

    It belongs on the output of a task, not on features, and where the classes really are equally
    frequent in all domains.

    Kullback and Leibler, "On Information and Sufficiency", Annals of Mathematical Statistics 22, 1951;
    Lin, "Divergence Measures Based on the Shannon Entropy", IEEE Transactions on Information Theory
    37, 1991; between the means of domains, Zhuang et al., "Supervised Representation Learning: Transfer
    Learning with Deep Autoencoders", IJCAI 2015.

    Args:
        domains: How many domains there are.
        form: "kl" (of the lower domain from the higher), "symmetric" or "js", see `divergence`.
        from_logits: Whether the layer reads logits instead of probabilities.
        **kwargs: `weight`, `domain`, and what a Keras layer takes.

    Raises:
        ValueError: If the form is none of these, or there is a single class.
    """

    def __init__(self, domains: int, form: str = "js", from_logits: bool = False, **kwargs: Any):
        super().__init__(domains, **kwargs)
        check_form("alignment.Divergence", form)
        self.form = form
        self.from_logits = bool(from_logits)

    def build(self, input_shape: Any) -> None:
        _check_classes("alignment.Divergence", input_shape[-1])
        self.built = True

    def penalty(self, features: Any, domains: Any) -> Any:
        distance = partial(divergence, form=self.form, from_logits=self.from_logits)
        return mean_over_pairs(distance, features, domains, self.domains)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "form": self.form, "from_logits": self.from_logits}


def _check_classes(name: str, classes: int) -> None:
    if classes < 2:
        raise ValueError(
            f"{name} compares how often classes are predicted and needs one number a class, but the "
            f"last axis has {classes}; give a binary output as the probabilities of 0 and of 1."
        )


def _mean_prediction(of: Sample) -> Any:
    # What is almost never predicted has a logarithm all the same.
    shares = ops.maximum(mean(of), 0.0) + 1e-7
    return shares / ops.sum(shares, axis=-1, keepdims=True)


def _kl(p: Any, q: Any) -> Any:
    return ops.sum(p * (ops.log(p) - ops.log(q)), axis=-1)
