"""Adversarial: features from which a classifier cannot tell the domain."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.alignment._pairs import DomainAlignment, memberships
from keras_mtl.alignment._reversal import reversed_gradient


def reversal_strength(progress: Any) -> Any:
    """`2 / (1 + exp(-10 p)) - 1`, from 0 to nearly 1 as p goes from 0 to 1."""
    return 2.0 / (1.0 + ops.exp(-10.0 * progress)) - 1.0


@keras.saving.register_keras_serializable("keras_mtl")
class Adversarial(DomainAlignment):
    """Hides the domain: a small classifier learns to tell it from the features, which learn the opposite.

    The penalty is the classifier's cross-entropy over rows whose domain is known, and 0 where they are
    all of one domain. What it sends back to the features is reversed, with a strength that rises from 0
    to 1 in the first `steps` training steps; `weight` scales both sides.

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17, 2016, arXiv:1505.07818.

    Args:
        domains: How many domains there are.
        units: Widths of the classifier's hidden layers.
        steps: How many training steps it takes until the features see the whole gradient, in the paper
            all of them: epochs times batches. 0 has them see it from the first.
        **kwargs: `weight`, `domain`, and what a Keras layer takes.

    Raises:
        ValueError: If a width is not positive, or `steps` is negative.
    """

    def __init__(
        self, domains: int, units: Sequence[int] = (64,), steps: int = 1000, **kwargs: Any
    ):
        super().__init__(domains, **kwargs)
        if not all(u >= 1 for u in units):
            raise ValueError(
                f"`units` of alignment.Adversarial came as {units!r}; expected positive widths."
            )
        if steps < 0:
            raise ValueError(
                f"`steps` of alignment.Adversarial is {steps!r}; expected how many training steps "
                "there are, or 0."
            )
        self.units = [int(u) for u in units]
        self.steps = int(steps)
        # In float32 whatever the features are in, as losses are.
        self.classifier = [
            keras.layers.Dense(u, activation="relu", dtype="float32", name=f"dense_{i}")
            for i, u in enumerate(self.units)
        ]
        self.classifier.append(keras.layers.Dense(self.domains, dtype="float32", name="scores"))

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        for layer in self.classifier:
            layer.build((None, width))
            width = layer.units
        # How many training steps were made.
        self.done = self.add_weight(
            name="done", shape=(), dtype="int64", initializer="zeros", trainable=False
        )
        self.built = True

    def penalty(self, features: Any, domains: Any) -> Any:
        scores = reversed_gradient(features, self._strength())
        for layer in self.classifier:
            scores = layer(scores)
        known = ops.transpose(memberships(domains, self.domains))
        present = ops.sum(ops.cast(ops.sum(known, axis=0) > 0, "int32"))
        rows = ops.maximum(ops.sum(known), 1.0)
        cross_entropy = -ops.sum(known * ops.log_softmax(scores, axis=-1)) / rows
        return ops.where(present >= 2, cross_entropy, ops.zeros_like(cross_entropy))

    def _strength(self) -> Any:
        if not self.steps:
            return 1.0
        done = ops.cast(self.done.value, "float32")
        self.done.assign_add(1)
        return reversal_strength(ops.minimum(done / self.steps, 1.0))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": list(self.units), "steps": self.steps}
