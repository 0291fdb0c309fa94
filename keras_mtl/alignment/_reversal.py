"""Gradient reversal: what a layer above learns to tell, the layers below learn to hide."""

from typing import Any

import keras
from keras import ops


def reversed_gradient(x: Any, strength: Any) -> Any:
    """`x` as it is, whose gradient is `-strength` times what comes back."""
    kept = ops.stop_gradient(x)
    # The bracket is exactly 0, its derivative -1.
    return kept + ops.cast(strength, x.dtype) * (kept - x)


@keras.saving.register_keras_serializable("keras_mtl")
class GradientReversal(keras.layers.Layer):
    """Passes features on as they are and sends their gradient back times `-strength`.

    For adversaries of one's own; `Adversarial` has one for domains.

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17, 2016, arXiv:1505.07818.

    Args:
        strength: lambda of the paper.

    Raises:
        ValueError: If the strength is negative.
    """

    def __init__(self, strength: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        if not strength >= 0:
            raise ValueError(
                f"`strength` of GradientReversal is {strength!r}; expected a number that is not "
                "negative, the gradient is turned round by the layer."
            )
        self.strength = float(strength)
        self.supports_masking = True

    def call(self, features: Any) -> Any:
        return reversed_gradient(features, self.strength)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strength": self.strength}
