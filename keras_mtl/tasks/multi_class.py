"""One of several classes."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._labels import decode_classes
from keras_mtl.tasks._focal import class_values
from keras_mtl.tasks._task import (
    Task,
    balanced_weights,
    check_ids,
    check_probability,
    class_names,
    class_weight_of,
    whole_ids,
)


@keras.saving.register_keras_serializable("keras_mtl")
class MultiClass(Task):
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

    def __init__(
        self,
        name: str,
        classes: Any,
        *,
        tower: Any = (),
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
        class_weight: Any = None,
    ):
        super().__init__(name, tower)
        self.classes: list[str] = class_names(name, classes)
        self.label_smoothing = check_probability(name, "label_smoothing", label_smoothing)
        self.focal_gamma = check_probability(name, "focal_gamma", focal_gamma, float("inf"))
        self.class_weight, self._weights = class_weight_of(name, class_weight, self.classes)

    def score_layers(self, hidden: Any) -> Any:
        return keras.layers.Dense(len(self.classes), name=f"{self.name}_scores")(hidden)

    def predictions(self, scores: Any, state: Mapping[str, Any]) -> Any:
        return ops.softmax(scores, axis=-1)

    def loss_values(self, labels: Any, scores: Any, state: Mapping[str, Any]) -> Any:
        if len(labels.shape) == len(scores.shape):
            labels = ops.squeeze(labels, -1)
        values = class_values(
            labels, scores, gamma=self.focal_gamma, label_smoothing=self.label_smoothing
        )
        weights = state.get("class_weight", self._weights)
        if weights is None:
            return values
        return values * ops.take(ops.convert_to_tensor(weights), ops.cast(labels, "int32"))

    def metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def initial_state(self) -> dict[str, np.ndarray]:
        balanced = self.class_weight == "balanced"
        return {"class_weight": np.ones(len(self.classes))} if balanced else {}

    def adapt(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        return {"class_weight": balanced_weights(whole_ids(labels), len(self.classes))}

    def check(self, labels: np.ndarray) -> None:
        check_ids(self.name, labels, self.classes)

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

    def labels_from(self, y_pred: np.ndarray) -> np.ndarray:
        return np.argmax(y_pred, axis=-1)

    def decode(self, ids: np.ndarray) -> list[str]:
        return decode_classes(ids, self.classes)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "classes": self.classes,
            "label_smoothing": self.label_smoothing,
            "focal_gamma": self.focal_gamma,
            "class_weight": self.class_weight,
        }
