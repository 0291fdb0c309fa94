"""The numbers of an epoch under the tags that they are drawn by: `<task>/<metric>`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from keras_mtl.callbacks._balancing import balancing_scalars

# In how many steps of the epoch the task was left out, where `on_nonfinite` is "skip".
SKIPPED = "skipped"


class Curves:
    """Tells whose each entry of a model's logs is.

    Args:
        model: A compiled `MultiTaskModel`.
    """

    def __init__(self, model: Any):
        self._model = model
        self._tags = {
            f"{task}_{name}": f"{task}/{name}"
            for task, names in model.recorded.items()
            for name in [*names, SKIPPED]
        }

    def split(self, logs: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
        """The logs of training and of validation, by the same tags."""
        # A task may be called "val_...", so what is known by its name comes first.
        validated = {k for k in logs if k.startswith("val_") and k not in self._tags}
        return (
            self.scalars({k: v for k, v in logs.items() if k not in validated}),
            self.scalars({k.removeprefix("val_"): logs[k] for k in logs if k in validated}),
        )

    def scalars(self, logs: Mapping[str, Any]) -> dict[str, float]:
        """Numbers by tag: `<task>_<metric>` becomes `<task>/<metric>`; a vector, one tag each."""
        scalars = {}
        for key, value in logs.items():
            tag, values = self._tags.get(key, key), np.asarray(value, "float64")
            for index in np.ndindex(values.shape):
                scalars["_".join([tag, *map(str, index)])] = float(values[index])
        return scalars

    def weighing(self) -> dict[str, float]:
        """How tasks are weighed, by alpha and by the balancer, and how fast they learn."""
        model = self._model
        scalars = {f"{task}/loss_weight": alpha for task, alpha in model.loss_weights.items()}
        scalars["learning_rate"] = float(ops.convert_to_numpy(model.optimizer.learning_rate))
        if model.balancer is not None:
            scalars.update(balancing_scalars(model.balancer))
        return scalars
