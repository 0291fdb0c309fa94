"""One of several classes."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.tasks._classification import Classification, whole_ids
from keras_mtl.tasks._focal import class_values


@keras.saving.register_keras_serializable("keras_mtl")
class MultiClass(Classification):
    """One of C classes: labels are class ids `(B,)`, served as probabilities `(B, C)`.

    Args:
        name: The task's name.
        classes: Names of the classes in the order of their ids, or their number.
        tower: The head's own layers, a `Tower` or units.
        label_smoothing: How far labels are drawn towards the uniform distribution.
        focal_gamma: Above 0, the focal loss with that gamma (Lin et al., ICCV 2017).
        class_weight: "balanced", or a weight by class name or id.

    Raises:
        ValueError: If there are fewer than two classes, or an argument is out of range.
    """

    main_metric = "accuracy"

    def score_layers(self, hidden: Any) -> Any:
        return keras.layers.Dense(len(self.classes), name=f"{self.name}_scores")(hidden)

    def predictions(self, scores: Any, state: Mapping[str, Any], mask: Any = None) -> Any:
        return ops.softmax(scores, axis=-1)

    def loss_values(
        self, labels: Any, scores: Any, state: Mapping[str, Any], known: Any = None
    ) -> Any:
        if len(labels.shape) == len(scores.shape):
            labels = ops.squeeze(labels, -1)
        values = class_values(
            labels, scores, gamma=self.focal_gamma, label_smoothing=self.label_smoothing
        )
        return self.weighted(values, labels, state)

    def metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def score(self, y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
        from sklearn import metrics

        truth, decided = whole_ids(y_true).reshape(-1), self.labels_from(y_pred)
        return {
            "accuracy": float(metrics.accuracy_score(truth, decided)),
            "macro_f1": float(
                metrics.f1_score(
                    truth, decided, average="macro", labels=np.unique(truth), zero_division=0.0
                )
            ),
        }
