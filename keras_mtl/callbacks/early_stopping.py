"""Stopping when several tasks have stopped getting better."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_mtl._names import nearest

_LESS_IS_BETTER = ("loss", "rmse", "mae", "mse", "error", "mape", "msle")


class EarlyStopping(keras.callbacks.Callback):
    """Stops training when the tasks stop getting better, and keeps the best weights.

    Args:
        monitor: A history key such as "val_loss" or "val_intent_accuracy"; or several of them.
        mode: With several keys: "all" stops when none of them has got better for `patience`
            epochs, "any" as soon as one has not, "delta_m" watches their mean relative gain over
            `baseline` (Maninis et al., CVPR 2019).
        patience: Epochs to wait for something better.
        min_delta: By how much a key must get better to count.
        restore_best_weights: Whether the model ends with the weights of its best epoch.
        baseline: For "delta_m", the value of each key in the single-task model.
        directions: "max" or "min" by key, where the name does not tell: loss, rmse, mae and error
            are better when less, everything else when more.

    The best epoch is that of the single key, of the largest Delta_m, or, with several keys, of the
    largest mean relative gain over the first epoch. `best_epoch` tells it by key, too, and
    `restore(key)` brings back the best weights of one task.

    Raises:
        ValueError: If the mode is unknown, a number is negative, "delta_m" comes without a baseline;
            at the end of the first epoch, if a key is not recorded.
    """

    def __init__(
        self,
        monitor: str | Sequence[str] = "val_loss",
        mode: str = "all",
        patience: int = 0,
        min_delta: float = 0.0,
        restore_best_weights: bool = True,
        baseline: Mapping[str, float] | None = None,
        directions: Mapping[str, str] | None = None,
    ):
        super().__init__()
        if mode not in ("all", "any", "delta_m") or patience < 0 or min_delta < 0:
            raise ValueError(
                f"EarlyStopping came with mode={mode!r}, patience={patience}, "
                f"min_delta={min_delta}; expected the mode 'all', 'any' or 'delta_m' and numbers "
                "that are not negative."
            )
        if mode == "delta_m" and not baseline:
            raise ValueError(
                "EarlyStopping(mode='delta_m') measures the gain over single-task models; give "
                "baseline={'val_intent_accuracy': 0.97, ...}."
            )
        keys = [monitor] if isinstance(monitor, str) else list(monitor)
        self.monitor = list(baseline) if mode == "delta_m" and baseline else keys
        self.mode = mode
        self.patience = int(patience)
        self.min_delta = float(min_delta)
        self.restore_best_weights = restore_best_weights
        self.baseline = dict(baseline or {})
        self.signs = {key: _sign(key, directions or {}) for key in self.monitor}
        self.stopped_epoch: int | None = None
        self.best_epoch: dict[str, int] = {}
        self._best: dict[str, float] = {}
        self._waited: dict[str, int] = {}
        self._first: dict[str, float] = {}
        self._weights: dict[str, list[np.ndarray]] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        self.stopped_epoch = None
        for found in (self.best_epoch, self._best, self._waited, self._first, self._weights):
            found.clear()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        values = {key: self._value(key, logs or {}) for key in self.monitor}
        if not self._first:
            self._first.update(values)
        overall = self._overall(values)
        watched = {"overall": overall} if self.mode == "delta_m" else {
            key: self.signs[key] * value for key, value in values.items()
        }  # fmt: skip
        for key, value in watched.items():
            if value > self._best.get(key, -np.inf) + self.min_delta:
                self._best[key], self.best_epoch[key], self._waited[key] = value, epoch, 0
                self._keep(key)
            else:
                self._waited[key] = self._waited.get(key, 0) + 1
        if "overall" not in watched and overall > self._best.get("overall", -np.inf):
            self._best["overall"], self.best_epoch["overall"] = overall, epoch
            self._keep("overall")
        done = [self._waited[key] > 0 and self._waited[key] >= self.patience for key in watched]
        if any(done) if self.mode == "any" else all(done):
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        if self.restore_best_weights and "overall" in self._weights:
            self.restore("overall")

    def restore(self, key: str = "overall") -> None:
        """Gives the model the weights of the best epoch of a monitored key, or of all of them.

        Raises:
            ValueError: If there are no such weights.
        """
        if key not in self._weights:
            raise ValueError(
                f"There are no best weights of {key!r}; there are those of {sorted(self._weights)} "
                "(with restore_best_weights=True, after an epoch)."
            )
        self.model.set_weights(self._weights[key])

    def _keep(self, key: str) -> None:
        if self.restore_best_weights:
            self._weights[key] = self.model.get_weights()

    def _overall(self, values: Mapping[str, float]) -> float:
        base = self.baseline or self._first
        gains = []
        for key, value in values.items():
            if len(values) == 1 and not self.baseline:
                return self.signs[key] * value
            gains.append(self.signs[key] * (value - base[key]) / max(abs(base[key]), 1e-12))
        return 100.0 * sum(gains) / len(gains)

    def _value(self, key: str, logs: Mapping[str, Any]) -> float:
        if key not in logs:
            near = nearest(key, logs)
            raise ValueError(
                f"EarlyStopping watches {key!r}, but an epoch records {sorted(logs)}"
                + (f"; did you mean {near!r}?" if near else "; give `fit` validation data?")
            )
        return float(logs[key])


def _sign(key: str, directions: Mapping[str, str]) -> float:
    direction = directions.get(key)
    if direction not in (None, "max", "min"):
        raise ValueError(f"`directions` of {key!r} is {direction!r}; expected 'max' or 'min'.")
    if direction is None:
        last = key.rsplit("_", 1)[-1]
        direction = "min" if last in _LESS_IS_BETTER else "max"
    return 1.0 if direction == "max" else -1.0
