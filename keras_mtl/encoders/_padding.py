"""Features that carry their padding mask, so that later layers leave padding out."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("keras_mtl")
class WithMask(keras.layers.Layer):
    """Makes `mask`, `(B, T)` booleans, the Keras mask of `features`, `(B, T, d)`."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return inputs[0]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return inputs[1]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]
