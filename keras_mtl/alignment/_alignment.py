"""What every alignment is: a layer that features pass as they are, and that adds a loss."""

import abc
from typing import Any

import keras
from keras import ops

from keras_mtl._domains import AsksForDomains, told


class Alignment(keras.layers.Layer, AsksForDomains, abc.ABC):
    """Draws the features of different domains together; write `penalty`.

    Features leave as they came. While the model trains on rows whose domain is among their labels,
    `weight` times the penalty is added to the joint loss; where it is served, nothing happens.

    Args:
        weight: Of the penalty in the joint loss.
        domain: The label that tells a row's domain; `build_model` tells it.

    Attributes:
        weight: Of the penalty.
        domain: The label that tells a row's domain: integers, -1 where it is not known.
    """

    def __init__(self, weight: float = 1.0, domain: str = "", **kwargs: Any):
        # Features leave in the dtype in which they came.
        super().__init__(autocast=False, **kwargs)
        if not weight >= 0:
            raise ValueError(
                f"`weight` of alignment.{type(self).__name__} is {weight!r}; expected a number that "
                "is not negative."
            )
        self.weight = float(weight)
        self.domain = domain
        self.supports_masking = True

    def connect(self, features: Any, domain: str) -> Any:
        """The same features, aligned over the domains that labels of that name tell.

        Raises:
            ValueError: If it was connected to another label before.
        """
        if self.domain and self.domain != domain:
            raise ValueError(
                f"This {type(self).__name__} aligns the domains of {self.domain!r} and cannot also "
                f"align those of {domain!r}; make a new one for each."
            )
        self.domain = domain
        return self(features)

    @abc.abstractmethod
    def penalty(self, features: Any, domains: Any) -> Any:
        """How far the domains are apart, `()` in float32; 0 where there are not two to compare.

        Args:
            features: `(B, d)`, in float32.
            domains: `(B,)` integers, -1 for rows that take no part.
        """

    def call(self, features: Any, training: bool | None = None, mask: Any = None) -> Any:
        domains = told(self.domain)
        if training and domains is not None:
            rows = pooled(ops.cast(features, "float32"), mask)
            domains = ops.reshape(ops.cast(domains, "int32"), (-1,))
            self.add_loss(self.weight * self.penalty(rows, domains))
        return features

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight, "domain": self.domain}


def pooled(features: Any, mask: Any = None) -> Any:
    """Features of rows, `(B, d)`: those of texts and images are the means over their positions."""
    axes = tuple(range(1, len(features.shape) - 1))
    if not axes:
        return features
    if mask is None:
        return ops.mean(features, axis=axes)
    there = ops.expand_dims(ops.cast(mask, features.dtype), -1)
    return ops.sum(features * there, axis=axes) / ops.maximum(ops.sum(there, axis=axes), 1.0)
