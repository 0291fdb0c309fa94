"""What tasks with classes have in common: names, smoothing, focus and class weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_mtl._labels import decode_classes
from keras_mtl._names import nearest
from keras_mtl.tasks._task import Task


class Classification(Task):
    """A task whose labels are ids of named classes.

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

    classes: list[str]

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
        self.classes = class_names(name, classes)
        self.label_smoothing = float(label_smoothing)
        self.focal_gamma = float(focal_gamma)
        if not 0 <= label_smoothing < 1 or not 0 <= focal_gamma < float("inf"):
            raise ValueError(
                f"Task {name!r} came with label_smoothing={label_smoothing!r} and "
                f"focal_gamma={focal_gamma!r}; expected 0 <= label_smoothing < 1 and a gamma that "
                "is not negative."
            )
        self.class_weight, self._weights = class_weight_of(name, class_weight, self.classes)

    def weighted(self, values: Any, ids: Any, state: Mapping[str, Any]) -> Any:
        """Losses times the weight of each label's class; `values` and `ids` have one shape."""
        weights = state.get("class_weight", self._weights)
        if weights is None:
            return values
        by_label = ops.take(ops.convert_to_tensor(weights), ops.cast(ids, "int32"))
        return values * ops.cast(by_label, values.dtype)

    def initial_state(self) -> dict[str, np.ndarray]:
        balanced = self.class_weight == "balanced"
        return {"class_weight": np.ones(len(self.classes))} if balanced else {}

    def adapt(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        return {"class_weight": balanced_weights(whole_ids(labels), len(self.classes))}

    def check(self, labels: np.ndarray) -> None:
        check_ids(self.name, labels, self.classes)

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


def class_names(task: str, classes: Any) -> list[str]:
    """The names of classes given as a list of names or as their number.

    Raises:
        ValueError: If there are fewer than two, or a name comes twice.
    """
    if isinstance(classes, (int, np.integer)):
        classes = [str(i) for i in range(int(classes))]
    names = [str(c) for c in classes]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f"The classes of task {task!r} came as {names[:10]}; expected at least two different "
            "names, or their number."
        )
    return names


def check_ids(task: str, labels: np.ndarray, names: Sequence[str]) -> None:
    """Checks class ids: whole numbers below the number of classes; negative ones are special."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iufb":
        near = nearest(labels.reshape(-1)[0], names) if labels.size else None
        raise ValueError(
            f"Task {task!r}: labels came as {labels.dtype}, expected class ids 0 to "
            f"{len(names) - 1}"
            + (f" (for example {list(names).index(near)} for {near!r})" if near else "")
            + "; turn names into ids with keras_mtl.data, or give their index in the classes."
        )
    there = labels[~np.isnan(labels)] if labels.dtype.kind == "f" else labels
    wrong = there[(there >= len(names)) | (there != np.round(there))]
    if wrong.size:
        raise ValueError(
            f"Task {task!r}: label {wrong[0]} is not a class id from 0 to {len(names) - 1} "
            f"({len(names)} classes; -1 or NaN stands for a missing label); correct the label or "
            "declare more classes."
        )


def class_weight_of(task: str, given: Any, classes: Sequence[str]) -> tuple[Any, np.ndarray | None]:
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
        by_id = isinstance(key, (int, np.integer)) and 0 <= int(key) < len(classes)
        name = classes[int(key)] if by_id else str(key)
        if name not in classes or not np.isfinite(weight) or weight < 0:
            raise ValueError(
                f"`class_weight` of task {task!r} gives class {key!r} the weight {weight!r}; "
                f"expected one of {list(classes)[:10]} (or its id) and a finite weight that is not "
                "negative."
            )
        table[list(classes).index(name)] = weight
    return dict(zip(classes, table.tolist(), strict=True)), table


def balanced_weights(ids: np.ndarray, classes: int) -> np.ndarray:
    """`n / (C n_c)` for each class, as scikit-learn's "balanced"; 1 for a class without labels.

    King and Zeng, "Logistic Regression in Rare Events Data", Political Analysis 9, 2001.

    >>> [round(float(w), 3) for w in balanced_weights(np.array([0, 0, 0, 1, -1]), 2)]
    [0.667, 2.0]
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
