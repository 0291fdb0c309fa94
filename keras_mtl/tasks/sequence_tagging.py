"""A tag for every position of a sequence: entities, slots, parts of speech."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._labels import MISSING, decode_tags
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
class SequenceTagging(Task):
    """One of C tags a position: labels `(B, T)` of tag ids, served as `(B, T, C)` probabilities.

    Positions labelled -1 are padding, or not annotated, and are left out everywhere. Reported are
    the span F1 of BIO tags as conlleval counts it (by seqeval), the share of tokens, and the share
    of sequences with every tag right.

    Args:
        name: The task's name.
        tags: The tags in the order of their ids, such as `["O", "B-city", "I-city"]`.
        tower: The head's own layers, a `Tower` or units.
        label_smoothing: How far labels are drawn towards the uniform distribution.
        focal_gamma: Above 0, the focal loss with that gamma (Lin et al., ICCV 2017).
        class_weight: "balanced", or a weight by tag or id.

    Raises:
        ValueError: If there are fewer than two tags, or an argument is out of range.
    """

    main_metric = "f1"
    keeps_positions = True

    def __init__(
        self,
        name: str,
        tags: Any,
        *,
        tower: Any = (),
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
        class_weight: Any = None,
    ):
        super().__init__(name, tower)
        self.classes: list[str] = class_names(name, tags, "tags")
        self.label_smoothing = check_probability(name, "label_smoothing", label_smoothing)
        self.focal_gamma = check_probability(name, "focal_gamma", focal_gamma, float("inf"))
        self.class_weight, self._weights = class_weight_of(name, class_weight, self.classes)

    @property
    def tags(self) -> list[str]:
        """The tags in the order of their ids."""
        return self.classes

    def score_layers(self, hidden: Any) -> Any:
        return keras.layers.Dense(len(self.tags), name=f"{self.name}_scores")(hidden)

    def predictions(self, scores: Any, state: Mapping[str, Any]) -> Any:
        return ops.softmax(scores, axis=-1)

    def loss_values(self, labels: Any, scores: Any, state: Mapping[str, Any]) -> Any:
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
        return {"class_weight": np.ones(len(self.tags))} if balanced else {}

    def adapt(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        return {"class_weight": balanced_weights(whole_ids(labels), len(self.tags))}

    def check(self, labels: np.ndarray) -> None:
        if np.asarray(labels).ndim != 2:
            raise ValueError(
                f"Task {self.name!r}: labels have shape {np.shape(labels)}, expected "
                "(rows, positions), one tag id a position and -1 for padding."
            )
        check_ids(self.name, labels, self.tags)

    def score(self, y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
        from seqeval import metrics

        truth, decided = whole_ids(y_true), self.labels_from(y_pred)
        there = truth != MISSING
        rows = [i for i in range(len(truth)) if there[i].any()]
        spans_true = [decode_tags(truth[i][there[i]], self.tags) for i in rows]
        spans_pred = [decode_tags(decided[i][there[i]], self.tags) for i in rows]
        report = {
            "f1": float(metrics.f1_score(spans_true, spans_pred, zero_division=0)),
            "precision": float(metrics.precision_score(spans_true, spans_pred, zero_division=0)),
            "recall": float(metrics.recall_score(spans_true, spans_pred, zero_division=0)),
            "accuracy": float(np.mean(truth[there] == decided[there])),
            "sequence_accuracy": float(
                np.mean([t == p for t, p in zip(spans_true, spans_pred, strict=True)])
            ),
        }
        return report

    def labels_from(self, y_pred: np.ndarray) -> np.ndarray:
        return np.argmax(y_pred, axis=-1)

    def decode(self, ids: np.ndarray) -> list[str]:
        return decode_tags(ids, self.tags)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "tags": self.tags,
            "label_smoothing": self.label_smoothing,
            "focal_gamma": self.focal_gamma,
            "class_weight": self.class_weight,
        }
