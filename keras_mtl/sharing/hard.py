"""Hard sharing: every task reads the same features."""

from typing import Any

import keras

from keras_mtl.sharing._sharing import Sharing


@keras.saving.register_keras_serializable("keras_mtl")
class Hard(Sharing):
    """One trunk for all tasks: `{task: features}` with the same features for each.

    Caruana, "Multitask Learning: A Knowledge-Based Source of Inductive Bias", ICML 1993.
    """

    def call(self, features: Any) -> dict[str, Any]:
        return dict.fromkeys(self.task_names, features)

    def compute_output_shape(self, input_shape: Any) -> dict[str, Any]:
        return dict.fromkeys(self.task_names, input_shape)
