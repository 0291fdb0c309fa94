"""What every task is: a name, a head, a loss over labels that may be missing, and a score."""

import abc
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._names import check_task_names
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
        reads: Names of the tasks whose scores its head reads; most tasks read none.
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
        self.reads: tuple[str, ...] = ()

    # How it is built and trained.

    def head(self, features: Any, others: Mapping[str, Any] | None = None) -> Any:
        """The task's output on top of shared features.

        Args:
            features: `(B, d)`, `(B, T, d)` or `(B, h, w, d)`.
            others: The raw scores by name of the tasks that it reads, of `raw_scores`.

        Returns:
            The served output, a `KerasTensor` of the layer that is named after the task.

        Raises:
            ValueError: If scores that it reads are missing.
        """
        return Prediction(self)(self.raw_scores(features, others))

    def raw_scores(self, features: Any, others: Mapping[str, Any] | None = None) -> Any:
        """What the loss reads and the served output is made of; arguments and errors as of `head`."""
        missing = [name for name in self.reads if name not in (others or {})]
        if missing:
            raise ValueError(
                f"The head of task {self.name!r} reads the scores of {missing}, which it did not "
                "get; list all these tasks in one build_model, or give `others` of `head`."
            )
        hidden = self.tower(features, self.name, keep_positions=self.keeps_positions)
        scores = self.score_layers(hidden)
        return self.with_others(scores, others) if self.reads and others else scores

    @abc.abstractmethod
    def score_layers(self, hidden: Any) -> Any:
        """From the tower's output to the task's own scores: the raw ones where it reads no other's."""

    def with_others(self, scores: Any, others: Mapping[str, Any]) -> Any:
        """From its own scores and those of the tasks that it reads to the raw ones."""
        return scores

    @abc.abstractmethod
    def predictions(self, scores: Any, state: Mapping[str, Any], mask: Any = None) -> Any:
        """From raw scores to what is served: probabilities, or the target's own units.

        Args:
            scores: Raw scores.
            state: What was learnt from the training labels.
            mask: `(B, T)`, which positions are not padding, for sequences; or None.
        """

    @abc.abstractmethod
    def loss_values(
        self, labels: Any, scores: Any, state: Mapping[str, Any], known: Any = None
    ) -> Any:
        """The loss of each label, not reduced, in the shape of the labels.

        Args:
            labels: Labels with any value where they are missing.
            scores: Raw scores, float32.
            state: What was learnt from the training labels.
            known: Which labels are there, in the shape of the labels; None for all of them.
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
            flat = [ops.reshape(x, (-1, 1)) for x in (labels, served, present)]
            return flat[0], flat[1], flat[2]
        if len(present.shape) == len(served.shape):
            labels, present = ops.squeeze(labels, -1), ops.squeeze(present, -1)
        return labels, served, present

    # What it learns from the training labels beforehand.

    def initial_state(self) -> dict[str, np.ndarray]:
        """What `adapt` sets, before it did; empty if there is nothing to learn from labels."""
        return {}

    def trainable_state(self) -> dict[str, np.ndarray]:
        """Where the output layer's own trainable variables start; most tasks have none."""
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

    def decide(self, served: Any) -> Any:
        """The same as ids in a graph, for tasks that decide for one class; `(B, ...)` integers."""
        return ops.argmax(served, axis=-1)

    def describe(self) -> dict[str, Any]:
        """What people must know to read the served output, besides the classes."""
        return {}

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
