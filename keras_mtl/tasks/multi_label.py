"""Several yes-or-no questions at once, each of which may be unanswered."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.tasks._classification import Classification, check_ids
from keras_mtl.tasks._focal import binary_values


@keras.saving.register_keras_serializable("keras_mtl")
class MultiLabel(Classification):
    """Any number of C classes: labels `(B, C)` of 0 and 1, served as probabilities `(B, C)`.

    Each element may be missing by itself (-1, or NaN).

    Args:
        name: The task's name.
        classes: Names of the classes, or their number.
        tower: The head's own layers, a `Tower` or units.
        label_smoothing: How far labels are drawn towards 1/2.
        focal_gamma: Above 0, the focal loss with that gamma (Lin et al., ICCV 2017).
        class_weight: "balanced" makes the positives of each class weigh as much as its negatives;
            or a weight of the positives by class name or id.

    Raises:
        ValueError: If there are fewer than two classes, or an argument is out of range.
    """

    main_metric = "macro_f1"
    elementwise = True

    def score_layers(self, hidden: Any) -> Any:
        return keras.layers.Dense(len(self.classes), name=f"{self.name}_scores")(hidden)

    def predictions(self, scores: Any, state: Mapping[str, Any], mask: Any = None) -> Any:
        return ops.sigmoid(scores)

    def loss_values(
        self, labels: Any, scores: Any, state: Mapping[str, Any], known: Any = None
    ) -> Any:
        labels = ops.cast(labels, scores.dtype)
        values = binary_values(
            labels, scores, gamma=self.focal_gamma, label_smoothing=self.label_smoothing
        )
        if "positive_weight" in state:
            positive, negative = state["positive_weight"], state["negative_weight"]
            return values * (labels * positive + (1 - labels) * negative)
        if self._weights is not None:
            return values * (labels * self._weights + (1 - labels))
        return values

    def metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.BinaryAccuracy(name="accuracy"), keras.metrics.AUC(name="auc")]

    def initial_state(self) -> dict[str, np.ndarray]:
        ones = np.ones(len(self.classes))
        if self.class_weight != "balanced":
            return {}
        return {"positive_weight": ones, "negative_weight": ones}

    def adapt(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        positive = np.sum(labels == 1, axis=0).astype("float64")
        negative = np.sum(labels == 0, axis=0).astype("float64")
        half = (positive + negative) / 2
        both = (positive > 0) & (negative > 0)
        return {
            "positive_weight": np.where(both, half / np.maximum(positive, 1), 1.0),
            "negative_weight": np.where(both, half / np.maximum(negative, 1), 1.0),
        }

    def check(self, labels: np.ndarray) -> None:
        labels = np.asarray(labels)
        if labels.ndim != 2 or labels.shape[1] != len(self.classes):
            raise ValueError(
                f"Task {self.name!r}: labels have shape {labels.shape}, expected "
                f"(rows, {len(self.classes)}), one column a class."
            )
        check_ids(self.name, labels, ["no", "yes"])

    def score(self, y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
        from sklearn import metrics

        truth = np.where(np.isnan(y_true), -1, y_true) if y_true.dtype.kind == "f" else y_true
        decided, there = self.labels_from(y_pred), truth >= 0
        f1 = [
            metrics.f1_score(truth[there[:, c], c], decided[there[:, c], c], zero_division=0.0)
            for c in range(truth.shape[1])
            if np.any(truth[there[:, c], c] == 1)
        ]
        areas = [
            metrics.roc_auc_score(truth[there[:, c], c], y_pred[there[:, c], c])
            for c in range(truth.shape[1])
            if len(np.unique(truth[there[:, c], c])) == 2
        ]
        return {
            "accuracy": float(np.mean((truth == decided)[there])),
            "macro_f1": float(np.mean(f1)) if f1 else float("nan"),
            "micro_f1": float(metrics.f1_score(truth[there], decided[there], zero_division=0.0)),
            "macro_auc": float(np.mean(areas)) if areas else float("nan"),
        }

    def labels_from(self, y_pred: np.ndarray) -> np.ndarray:
        return (np.asarray(y_pred) > 0.5).astype("int64")

    def decode(self, ids: np.ndarray) -> list[str]:
        rows = np.asarray(ids).reshape(-1, len(self.classes))
        return [
            ", ".join(c for c, v in zip(self.classes, row, strict=True) if v == 1) for row in rows
        ]
