"""Numbers, in one dimension or several, in their own units."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.tasks._task import Task

_LOSSES = ("mse", "mae", "huber")


@keras.saving.register_keras_serializable("keras_mtl")
class Regression(Task):
    """D real numbers: labels `(B,)` or `(B, D)`, served in the target's own units, `(B, D)`.

    With `scaling="standard"` the targets are brought to mean 0 and deviation 1 inside the loss,
    so that tasks of different units can be added; the scale is learnt from the training labels at
    the first `fit` and undone in what is served. Each element may be missing by itself (NaN).

    Args:
        name: The task's name.
        dimensions: D, or the names of the D dimensions.
        tower: The head's own layers, a `Tower` or units.
        loss: "mse", "mae" or "huber" (Huber 1964, delta 1), on the scaled target.
        scaling: "standard", or None for the target as it is.
        units: What is measured, for people; for instance "EUR".

    Raises:
        ValueError: If an argument is out of range.
    """

    main_metric = "rmse"
    higher_is_better = False
    elementwise = True
    real_labels = True

    def __init__(
        self,
        name: str,
        dimensions: Any = 1,
        *,
        tower: Any = (),
        loss: str = "mse",
        scaling: str | None = "standard",
        units: str = "",
    ):
        super().__init__(name, tower)
        count = isinstance(dimensions, (int, np.integer))
        self.dimensions = (
            [str(i) for i in range(int(dimensions))] if count else [str(d) for d in dimensions]
        )
        if not self.dimensions or loss not in _LOSSES or scaling not in ("standard", None):
            raise ValueError(
                f"Regression task {name!r} came with dimensions={dimensions!r}, loss={loss!r}, "
                f"scaling={scaling!r}; expected at least one dimension, a loss of {_LOSSES} and "
                "the scaling 'standard' or None."
            )
        self.loss = loss
        self.scaling = scaling
        self.units = units

    def score_layers(self, hidden: Any) -> Any:
        return keras.layers.Dense(len(self.dimensions), name=f"{self.name}_scores")(hidden)

    def predictions(self, scores: Any, state: Mapping[str, Any], mask: Any = None) -> Any:
        return scores * state["scale"] + state["mean"] if state else scores

    def loss_values(
        self, labels: Any, scores: Any, state: Mapping[str, Any], known: Any = None
    ) -> Any:
        labels = ops.reshape(ops.cast(labels, scores.dtype), ops.shape(scores))
        if state:
            labels = (labels - state["mean"]) / state["scale"]
        off = ops.abs(labels - scores)
        if self.loss == "mae":
            return off
        if self.loss == "huber":
            return ops.where(off <= 1, 0.5 * ops.square(off), off - 0.5)
        return ops.square(off)

    def metrics(self) -> list[keras.metrics.Metric]:
        return [
            keras.metrics.RootMeanSquaredError(name="rmse"),
            keras.metrics.MeanAbsoluteError(name="mae"),
        ]

    def initial_state(self) -> dict[str, np.ndarray]:
        d = len(self.dimensions)
        return {"mean": np.zeros(d), "scale": np.ones(d)} if self.scaling else {}

    def adapt(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        columns = np.asarray(labels, "float64").reshape(-1, len(self.dimensions))
        scale = np.nanstd(columns, axis=0)
        # A constant target has nothing to scale by.
        return {"mean": np.nanmean(columns, axis=0), "scale": np.where(scale > 0, scale, 1.0)}

    def check(self, labels: np.ndarray) -> None:
        labels = np.asarray(labels)
        d = len(self.dimensions)
        if labels.dtype.kind not in "iufb" or labels.size != len(labels) * d:
            raise ValueError(
                f"Task {self.name!r}: labels have shape {labels.shape} and dtype {labels.dtype}, "
                f"expected numbers of shape (rows, {d})" + (" or (rows,)." if d == 1 else ".")
            )
        if np.any(np.isinf(labels)):
            raise ValueError(
                f"Task {self.name!r}: label of row {int(np.argwhere(np.isinf(labels))[0][0])} is "
                "infinite; correct it, or make it NaN if it is not known."
            )

    def score(self, y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
        from sklearn import metrics

        truth = np.asarray(y_true, "float64").reshape(-1, len(self.dimensions))
        guess = np.asarray(y_pred, "float64").reshape(truth.shape)
        there = ~np.isnan(truth)
        columns = [(truth[there[:, d], d], guess[there[:, d], d]) for d in range(truth.shape[1])]
        r2 = [metrics.r2_score(t, g) for t, g in columns if len(t) > 1]
        return {
            "rmse": float(metrics.root_mean_squared_error(truth[there], guess[there])),
            "mae": float(metrics.mean_absolute_error(truth[there], guess[there])),
            "r2": float(np.mean(r2)) if r2 else float("nan"),
        }

    def labels_from(self, y_pred: np.ndarray) -> np.ndarray:
        return np.asarray(y_pred)

    def describe(self) -> dict[str, Any]:
        return {"dimensions": self.dimensions, "units": self.units}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dimensions": self.dimensions,
            "loss": self.loss,
            "scaling": self.scaling,
            "units": self.units,
        }
