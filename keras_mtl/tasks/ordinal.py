"""Classes in an order: stages, grades, stars."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.tasks._classification import Classification, whole_ids


@keras.saving.register_keras_serializable("keras_mtl")
class OrderedThresholds(keras.layers.Layer):
    """One score and C - 1 rising thresholds: `(B, 1)` to the logits of y > k, `(B, C - 1)`.

    The thresholds are a start and C - 2 positive steps, so P(y > k) falls in k always.

    Args:
        thresholds: C - 1.
    """

    def __init__(self, thresholds: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.thresholds = int(thresholds)

    def build(self, input_shape: Any) -> None:
        middle = -(self.thresholds - 1) / 2
        self.start = self.add_weight(
            shape=(1,), initializer=keras.initializers.Constant(middle), name="start"
        )
        # softplus(0.5413) = 1: the thresholds start one apart.
        self.steps = self.add_weight(
            shape=(self.thresholds - 1,),
            initializer=keras.initializers.Constant(0.5413),
            name="steps",
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        steps = ops.concatenate([self.start, ops.softplus(self.steps)])
        return inputs - ops.cumsum(steps)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.thresholds)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "thresholds": self.thresholds}


@keras.saving.register_keras_serializable("keras_mtl")
class Ordinal(Classification):
    """One of C ordered classes: labels are ids `(B,)`, served as probabilities `(B, C)`.

    One score and C - 1 rising thresholds (the cumulative link model of McCullagh, JRSS B 1980),
    trained by the sum of the C - 1 cross-entropies of y > k (Cao, Mirjalili and Raschka, "Rank
    Consistent Ordinal Regression", Pattern Recognition Letters 2020, arXiv:1901.07884).

    Args:
        name: The task's name.
        classes: Names of the classes from the lowest to the highest, or their number.
        tower: The head's own layers, a `Tower` or units.
        class_weight: "balanced", or a weight by class name or id.

    Raises:
        ValueError: If there are fewer than two classes.
    """

    main_metric = "mae"
    higher_is_better = False

    def __init__(self, name: str, classes: Any, *, tower: Any = (), class_weight: Any = None):
        super().__init__(name, classes, tower=tower, class_weight=class_weight)

    def score_layers(self, hidden: Any) -> Any:
        score = keras.layers.Dense(1, use_bias=False, name=f"{self.name}_score")(hidden)
        return OrderedThresholds(len(self.classes) - 1, name=f"{self.name}_scores")(score)

    def predictions(self, scores: Any, state: Mapping[str, Any], mask: Any = None) -> Any:
        above = ops.sigmoid(scores)
        edge = above[..., :1]
        at_least = ops.concatenate([ops.ones_like(edge), above], axis=-1)
        return at_least - ops.concatenate([above, ops.zeros_like(edge)], axis=-1)

    def output_shape(self, scores_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*scores_shape[:-1], len(self.classes))

    def loss_values(
        self, labels: Any, scores: Any, state: Mapping[str, Any], known: Any = None
    ) -> Any:
        if len(labels.shape) < len(scores.shape):
            labels = ops.expand_dims(labels, -1)
        ids = ops.cast(labels, "int32")
        above = ops.cast(ids > ops.arange(len(self.classes) - 1, dtype="int32"), scores.dtype)
        values = ops.sum(ops.binary_crossentropy(above, scores, from_logits=True), axis=-1)
        return self.weighted(values, ops.squeeze(ids, -1), state)

    def metrics(self) -> list[keras.metrics.Metric]:
        return [
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            keras.metrics.MeanMetricWrapper(level_error, name="mae"),
        ]

    def score(self, y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
        from sklearn import metrics

        truth, decided = whole_ids(y_true).reshape(-1), self.labels_from(y_pred)
        kappa = float("nan")
        if len(set(truth) | set(decided)) > 1:
            kappa = float(metrics.cohen_kappa_score(truth, decided, weights="quadratic"))
        return {
            "mae": float(metrics.mean_absolute_error(truth, decided)),
            "accuracy": float(metrics.accuracy_score(truth, decided)),
            "quadratic_kappa": kappa,
        }

    def labels_from(self, y_pred: np.ndarray) -> np.ndarray:
        # The median class: the number of thresholds that are more likely passed than not.
        above = 1 - np.cumsum(np.asarray(y_pred, "float64"), axis=-1)[..., :-1]
        return np.sum(above > 0.5, axis=-1)

    def decide(self, served: Any) -> Any:
        above = 1 - ops.cumsum(served, axis=-1)[..., :-1]
        return ops.sum(ops.cast(above > 0.5, "int32"), axis=-1)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {k: v for k, v in config.items() if k not in ("label_smoothing", "focal_gamma")}


@keras.saving.register_keras_serializable("keras_mtl")
def level_error(y_true: Any, y_pred: Any) -> Any:
    """How many levels the median class is off, `(B,)`."""
    above = 1 - ops.cumsum(y_pred, axis=-1)[..., :-1]
    decided = ops.sum(ops.cast(above > 0.5, "float32"), axis=-1)
    return ops.abs(ops.cast(y_true, "float32") - decided)
