"""What every task is: a name, a head, a loss over labels that may be missing, and a score."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._names import check_task_names, nearest
from keras_mtl._prediction import Prediction
from keras_mtl.tasks._tower import Tower


class Task(abc.ABC):
    """One thing to be learnt; the base of every task of `keras_mtl.tasks`.

    Shapes: `B` rows, `T` positions of a sequence, `C` classes, `D` dimensions.

    Args:
        name: The key of its output, labels, loss, metrics, curves and signature.
        tower: The layers between the shared features and the scores: a `Tower`, or the units of
            its dense layers.

    Attributes:
        main_metric: The key of `score` that sums the task up.
        higher_is_better: Whether more of the main metric is better.
        classes: Names of the classes, or None for a task without classes.
        keeps_positions: Whether it answers every position of a sequence.
        elementwise: Whether each element of a label vector may be missing by itself.
        real_labels: Whether -1 is an ordinary label even where labels are integers.
    """

    main_metric: str
    higher_is_better: bool = True
    keeps_positions: bool = False
    elementwise: bool = False
    real_labels: bool = False

    def __init__(self, name: str, tower: Any = ()):
        check_task_names([name])
        self.name = name
        self.tower = Tower.of(tower)
        self.classes: list[str] | None = None

    # How it is built and trained.

    def head(self, features: Any) -> Any:
        """The task's output on top of shared features.

        Args:
            features: `(B, d)`, `(B, T, d)` or `(B, h, w, d)`.

        Returns:
            The served output, a `KerasTensor` of the layer that is named after the task.
        """
        hidden = self.tower(features, self.name, keep_positions=self.keeps_positions)
        return Prediction(self)(self.score_layers(hidden))

    @abc.abstractmethod
    def score_layers(self, hidden: Any) -> Any:
        """From the tower's output to the raw scores that the loss reads."""

    @abc.abstractmethod
    def predictions(self, scores: Any, state: Mapping[str, Any]) -> Any:
        """From raw scores to what is served: probabilities, or the target's own units."""

    @abc.abstractmethod
    def loss_values(self, labels: Any, scores: Any, state: Mapping[str, Any]) -> Any:
        """The loss of each label, not reduced, in the shape of the labels.

        Args:
            labels: Labels with any value where they are missing.
            scores: Raw scores, float32.
            state: What was learnt from the training labels.
        """

    @abc.abstractmethod
    def metrics(self) -> list[keras.metrics.Metric]:
        """New Keras metrics for the progress bar, over the served output."""

    def output_shape(self, scores_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of what is served, from the shape of the scores."""
        return scores_shape

    def for_metrics(self, labels: Any, served: Any, present: Any) -> tuple[Any, Any, Any]:
        """Labels, served output and weights in the shapes that `metrics` take.

        A task whose elements may each be missing hands them over one by one.
        """
        if self.elementwise:
            return tuple(ops.reshape(x, (-1, 1)) for x in (labels, served, present))  # type: ignore[return-value]
        if len(present.shape) == len(served.shape):
            labels, present = ops.squeeze(labels, -1), ops.squeeze(present, -1)
        return labels, served, present

    # What it learns from the training labels beforehand.

    def initial_state(self) -> dict[str, np.ndarray]:
        """What `adapt` sets, before it did; empty if there is nothing to learn from labels."""
        return {}

    def adapt(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Learns from all training labels, `(n, ...)`, what `initial_state` names."""
        return {}

    # How it is told and judged.

    @abc.abstractmethod
    def check(self, labels: np.ndarray) -> None:
        """Raises a `ValueError` that names the task if labels are of the wrong shape or range."""

    @abc.abstractmethod
    def score(self, y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
        """The report's metrics, from labels that are there and the served output."""

    @abc.abstractmethod
    def labels_from(self, y_pred: np.ndarray) -> np.ndarray:
        """What the served output decides for: class ids, values, or ids a position."""

    def decode(self, ids: np.ndarray) -> list[str]:
        """Class names for class ids."""
        raise TypeError(f"task {self.name!r} has no classes to name")

    # How it is saved.

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "tower": self.tower.get_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Task":
        return cls(**config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def class_names(task: str, classes: Any, argument: str = "classes") -> list[str]:
    """The names of classes given as a list of names or as their number.

    Raises:
        ValueError: If there are fewer than two, or a name comes twice.
    """
    if isinstance(classes, (int, np.integer)):
        classes = [str(i) for i in range(int(classes))]
    names = [str(c) for c in classes]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f"`{argument}` of task {task!r} came as {names[:10]}; expected at least two different "
            "names, or their number."
        )
    return names


def check_probability(task: str, argument: str, value: float, upper: float = 1.0) -> float:
    """Returns `value` if 0 <= value < upper."""
    if not 0 <= value < upper:
        raise ValueError(
            f"`{argument}` of task {task!r} is {value!r}; expected 0 or more and less than {upper}."
        )
    return float(value)


def check_ids(task: str, labels: np.ndarray, names: Sequence[str]) -> None:
    """Checks class ids: whole numbers below the number of classes; negative ones are special."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iufb":
        near = nearest(labels.reshape(-1)[0], names) if labels.size else None
        raise ValueError(
            f"Task {task!r}: labels came as {labels.dtype}, expected class ids 0 to "
            f"{len(names) - 1}"
            + (f" (for example {names.index(near)} for {near!r})" if near else "")
            + "; turn names into ids with keras_mtl.data, or give their index in the classes."
        )
    there = labels[~np.isnan(labels)] if labels.dtype.kind == "f" else labels
    if there.size and (there.max() >= len(names) or np.any(there != np.round(there))):
        wrong = there[(there >= len(names)) | (there != np.round(there))][0]
        raise ValueError(
            f"Task {task!r}: label {wrong} is not a class id from 0 to {len(names) - 1} "
            f"({len(names)} classes; -1 or NaN stands for a missing label); correct the label or "
            "declare more classes."
        )


def class_weight_of(
    task: str, given: Any, classes: Sequence[str]
) -> tuple[Any, np.ndarray | None]:
    """Checks `class_weight`: None, "balanced", or a weight by class name or id.

    Returns:
        What the config keeps, and the table `(C,)` if it is known already.
    """
    if given is None or given == "balanced":
        return given, None
    if not isinstance(given, Mapping):
        raise ValueError(
            f"`class_weight` of task {task!r} came as {given!r}; expected None, 'balanced', or a "
            "dict from classes to weights."
        )
    table = np.ones(len(classes), "float32")
    for key, weight in given.items():
        name = classes[int(key)] if _is_id(key, len(classes)) else str(key)
        if name not in classes or not np.isfinite(weight) or weight < 0:
            raise ValueError(
                f"`class_weight` of task {task!r} gives class {key!r} the weight {weight!r}; "
                f"expected one of {list(classes)[:10]} (or its id) and a finite weight that is not "
                "negative."
            )
        table[classes.index(name)] = weight
    return {str(k): float(w) for k, w in given.items()}, table


def balanced_weights(ids: np.ndarray, classes: int) -> np.ndarray:
    """`n / (C n_c)` for each class, as scikit-learn's "balanced"; 1 for a class without labels.

    King and Zeng, "Logistic Regression in Rare Events Data", Political Analysis 9, 2001.

    >>> balanced_weights(np.array([0, 0, 0, 1, -1]), 2)
    array([0.6666667, 2.       ], dtype=float32)
    """
    ids = np.asarray(ids).reshape(-1)
    counts = np.bincount(ids[ids >= 0].astype("int64"), minlength=classes).astype("float64")
    balanced = counts.sum() / (classes * np.maximum(counts, 1))
    return np.where(counts > 0, balanced, 1.0).astype("float32")


def whole_ids(labels: np.ndarray) -> np.ndarray:
    """Integer ids from labels that may be floats with NaN where they are missing."""
    labels = np.asarray(labels)
    if labels.dtype.kind == "f":
        labels = np.where(np.isnan(labels), -1, labels)
    return labels.astype("int64")


def _is_id(key: Any, classes: int) -> bool:
    return isinstance(key, (int, np.integer)) and 0 <= int(key) < classes
