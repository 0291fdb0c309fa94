"""One task's loss as compiled: what it is computed of, and how it is averaged over the labels."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import losses, ops

from keras_mtl import _labels
from keras_mtl._replicas import sum_over_replicas

# Losses whose labels are real numbers or signs: -1 is a value of theirs, whatever the dtype.
_REAL_LABELS = {
    losses.mean_squared_error, losses.mean_absolute_error, losses.mean_absolute_percentage_error,
    losses.mean_squared_logarithmic_error, losses.huber, losses.log_cosh, losses.poisson,
    losses.cosine_similarity, losses.kl_divergence,
    losses.hinge, losses.squared_hinge, losses.categorical_hinge,
}  # fmt: skip
# Losses that are a mean over the last axis of one value an element, so that a vector may be partly
# labelled.
_ELEMENTWISE = {
    losses.mean_squared_error, losses.mean_absolute_error, losses.mean_absolute_percentage_error,
    losses.mean_squared_logarithmic_error, losses.huber, losses.log_cosh, losses.poisson,
    losses.hinge, losses.squared_hinge, losses.binary_crossentropy,
    losses.binary_focal_crossentropy,
}  # fmt: skip


class TaskLoss:
    """The loss of one task over the labels that are there.

    Args:
        task: The task's name.
        values: `(labels, predictions, known) -> values`, the loss of each label, not reduced.
        reduction: As in `keras.losses.Loss`.
        real_labels: True if -1 is an ordinary label even where labels are integers.
        reads_scores: True if it reads a head's raw scores rather than the served output.
        check: Raises a `ValueError` for labels, a NumPy array, that it cannot be computed of.
        fn: The Keras loss function behind it, if there is one.
    """

    def __init__(
        self,
        task: str,
        values: Callable[[Any, Any, Any], Any],
        reduction: str = "sum_over_batch_size",
        *,
        real_labels: bool = False,
        reads_scores: bool = False,
        check: Callable[[np.ndarray], None] | None = None,
        fn: Any = None,
    ):
        if reduction in (None, "none"):
            raise ValueError(
                f"The loss of task {task!r} has reduction={reduction!r}, which gives no single "
                "number to balance; use 'sum_over_batch_size', 'mean_with_sample_weight' or 'sum'."
            )
        self.task = task
        self.values = values
        self.reduction = reduction
        self.real_labels = real_labels
        self.reads_scores = reads_scores
        self.check = check or (lambda labels: None)
        self.fn = fn

    @classmethod
    def of_keras(cls, task: str, identifier: Any, served: Any) -> "TaskLoss":
        """From whatever `keras.Model.compile` takes as a loss of the output `served`."""
        if str(identifier).lower() in ("crossentropy", "ce"):
            identifier = (
                "binary_crossentropy"
                if served.shape[-1] == 1
                else "sparse_categorical_crossentropy"
            )
        loss = losses.get(identifier)
        fn = getattr(loss, "fn", loss)
        if not isinstance(loss, losses.Loss):
            loss = _FunctionLoss(fn)

        def values(y_true: Any, y_pred: Any, known: Any) -> Any:
            y_true = ops.cast(y_true, y_pred.dtype)
            same = len(y_true.shape) == len(y_pred.shape)
            if fn in _ELEMENTWISE and same and y_pred.shape[-1] != 1:
                y_true, y_pred = ops.expand_dims(y_true, -1), ops.expand_dims(y_pred, -1)
            return loss.call(y_true, y_pred)

        def check(labels: np.ndarray) -> None:
            if fn is losses.sparse_categorical_crossentropy:
                _check_class_ids(task, labels, served.shape[-1])

        return cls(task, values, loss.reduction, real_labels=fn in _REAL_LABELS, check=check, fn=fn)

    def present(self, labels: Any) -> Any:
        """Which labels are there, an unseen class included: what a metric counts."""
        return self._floats(labels, _labels.present)

    def __call__(
        self, labels: Any, predictions: Any, sample_weight: Any = None, class_weight: Any = None
    ) -> tuple[Any, Any]:
        """The loss over the labels that are there, and how many they are.

        Args:
            labels: `(B, ...)`, missing ones NaN or -1.
            predictions: `(B, ...)`, what the loss reads.
            sample_weight: `(B,)` or the shape of the labels, or None.
            class_weight: `(C,)` weights by class id, or None.

        Returns:
            The loss, a scalar, 0 where no label is there; and the number of labels (summed weights
            under `mean_with_sample_weight`) that it is a mean over, 0 where none is there.
        """
        known = self._floats(labels, _labels.known)
        safe = ops.where(known, labels, ops.zeros_like(labels))
        predictions = ops.cast(predictions, keras.config.floatx())
        values = self.values(safe, predictions, known)
        known = _fit(known, values)
        mask = getattr(predictions, "_keras_mask", None)
        if mask is not None:
            known = ops.logical_and(known, _fit(mask, values))
        if class_weight is not None:
            values = values * _fit(_weights_of(class_weight, safe, predictions), values)
        values = ops.where(known, values, ops.zeros_like(values))
        counted = ops.cast(known, values.dtype)
        if sample_weight is not None:
            sample_weight = _fit(ops.cast(sample_weight, values.dtype), values)
            values = values * sample_weight
            if self.reduction == "mean_with_sample_weight":
                counted = counted * sample_weight
        total, count = ops.sum(values), ops.sum(counted)
        if self.reduction == "sum":
            return total, ops.cast(count > 0, values.dtype)
        return ops.divide_no_nan(total, sum_over_replicas(count)), count

    def _floats(self, labels: Any, rule: Callable[[Any], Any]) -> Any:
        if self.real_labels and "float" not in str(labels.dtype):
            return ops.ones_like(labels, dtype="bool")
        return rule(labels)


class _FunctionLoss(losses.Loss):
    """A loss function of the user's own, as Keras would wrap it."""

    def __init__(self, fn: Callable[[Any, Any], Any]):
        super().__init__(name=getattr(fn, "__name__", "loss"))
        self.fn = fn

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.fn(*_same_rank(y_true, y_pred))


def class_weight_tables(
    class_weight: Mapping[str, Mapping[Any, float]], outputs: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The weights of each task by class id; see `class_weight_table`."""
    return {
        name: class_weight_table(name, weights, max(outputs[name].shape[-1], 2))
        for name, weights in class_weight.items()
    }


def same_tables(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Whether two sets of class weights are the same."""
    return one.keys() == other.keys() and all(np.array_equal(one[n], other[n]) for n in one)


def class_weight_table(task: str, weights: Mapping[Any, float], classes: int) -> np.ndarray:
    """The weights by class id, `(classes,)`; a class that is not named weighs 1.

    Raises:
        ValueError: If a class id is out of range or a weight is negative or not finite.
    """
    table = np.ones(classes, "float32")
    for key, weight in weights.items():
        if not isinstance(key, (int, np.integer)) or not 0 <= int(key) < classes:
            raise ValueError(
                f"`class_weight` of task {task!r} names class {key!r}; expected class ids from 0 "
                f"to {classes - 1}."
            )
        if not np.isfinite(weight) or weight < 0:
            raise ValueError(
                f"`class_weight` of task {task!r} gives class {key} the weight {weight!r}; "
                "expected a finite number that is not negative."
            )
        table[int(key)] = weight
    return table


def _weights_of(table: Any, labels: Any, predictions: Any) -> Any:
    one_hot = len(labels.shape) == len(predictions.shape) and predictions.shape[-1] not in (1, None)
    if one_hot and labels.shape[-1] == predictions.shape[-1]:
        labels = ops.argmax(labels, axis=-1)
    return ops.take(ops.convert_to_tensor(table), ops.cast(labels, "int32"))


def _check_class_ids(task: str, labels: np.ndarray, classes: int | None) -> None:
    labels = np.asarray(labels)
    if labels.dtype.kind in "iuf" and classes and labels.size and np.nanmax(labels) >= classes:
        raise ValueError(
            f"Task {task!r}: label {np.nanmax(labels)} is not a class id from 0 to {classes - 1} "
            f"(the output has {classes} classes; -1 or NaN stands for a missing label); correct "
            "the label or widen the output."
        )


def _same_rank(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    if len(y_true.shape) == len(y_pred.shape) + 1 and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    elif len(y_pred.shape) == len(y_true.shape) + 1 and y_pred.shape[-1] == 1:
        y_true = ops.expand_dims(y_true, -1)
    return y_true, y_pred


def _fit(tensor: Any, values: Any) -> Any:
    """Brings a mask or weights to the rank of `values`, so that they broadcast row by row."""
    boolean = keras.backend.standardize_dtype(tensor.dtype) == "bool"
    while len(tensor.shape) > len(values.shape):
        if tensor.shape[-1] == 1:
            tensor = ops.squeeze(tensor, -1)
        elif boolean:
            tensor = ops.all(tensor, -1)
        else:
            raise ValueError(
                f"Sample weights of shape {tuple(tensor.shape)} do not go with a loss of shape "
                f"{tuple(values.shape)}; expected one weight a row or one a label."
            )
    while len(tensor.shape) < len(values.shape):
        tensor = ops.expand_dims(tensor, -1)
    return ops.broadcast_to(tensor, ops.shape(values)) if boolean else tensor
