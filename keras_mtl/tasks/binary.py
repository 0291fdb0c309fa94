"""Yes or no."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.tasks._classification import Classification, whole_ids
from keras_mtl.tasks._focal import binary_values


@keras.saving.register_keras_serializable("keras_mtl")
class Binary(Classification):
    """A yes-or-no question: labels 0 and 1, served as the probability of 1, `(B, 1)`.

    Args:
        name: The task's name.
        classes: Names of the two classes, the negative one first.
        tower: The head's own layers, a `Tower` or units.
        label_smoothing: How far labels are drawn towards 1/2.
        focal_gamma: Above 0, the focal loss with that gamma (Lin et al., ICCV 2017).
        class_weight: "balanced", or a weight by class name or id.

    Raises:
        ValueError: If there are not two classes, or an argument is out of range.
    """

    main_metric = "auc"

    def __init__(self, name: str, classes: Any = ("no", "yes"), **kwargs: Any):
        super().__init__(name, classes, **kwargs)
        if len(self.classes) != 2:
            raise ValueError(
                f"Binary task {name!r} has the classes {self.classes[:10]}; expected two, negative "
                "first; use tasks.MultiClass for more."
            )

    def score_layers(self, hidden: Any) -> Any:
        return keras.layers.Dense(1, name=f"{self.name}_scores")(hidden)

    def predictions(self, scores: Any, state: Mapping[str, Any], mask: Any = None) -> Any:
        return ops.sigmoid(scores)

    def loss_values(
        self, labels: Any, scores: Any, state: Mapping[str, Any], known: Any = None
    ) -> Any:
        labels = ops.reshape(ops.cast(labels, scores.dtype), ops.shape(scores))
        values = binary_values(
            labels, scores, gamma=self.focal_gamma, label_smoothing=self.label_smoothing
        )
        return ops.squeeze(self.weighted(values, labels, state), -1)

    def metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.BinaryAccuracy(name="accuracy"), keras.metrics.AUC(name="auc")]

    def for_metrics(self, labels: Any, served: Any, present: Any) -> tuple[Any, Any, Any]:
        shape = ops.shape(served)
        return ops.reshape(labels, shape), served, ops.reshape(present, shape)

    def score(self, y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
        from sklearn import metrics

        truth = whole_ids(y_true).reshape(-1)
        probability = np.asarray(y_pred, "float64").reshape(-1)
        decided = self.labels_from(y_pred)
        scores = {
            "accuracy": float(metrics.accuracy_score(truth, decided)),
            "f1": float(metrics.f1_score(truth == 1, decided == 1, zero_division=0.0)),
        }
        if len(set(truth)) == 2:
            scores["auc"] = float(metrics.roc_auc_score(truth == 1, probability))
            scores["average_precision"] = float(
                metrics.average_precision_score(truth == 1, probability)
            )
        else:
            # The area is not defined where one class alone is there.
            scores["auc"] = scores["average_precision"] = float("nan")
        return scores

    def labels_from(self, y_pred: np.ndarray) -> np.ndarray:
        return (np.asarray(y_pred).reshape(-1) > 0.5).astype("int64")

    def decide(self, served: Any) -> Any:
        return ops.cast(ops.squeeze(served, -1) > 0.5, "int32")
