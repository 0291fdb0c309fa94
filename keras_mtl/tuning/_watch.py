"""What is watched of a trial while its model trains: its scores, and whether it is worth going on."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

CURVE = "curve"


class Watch(keras.callbacks.Callback):
    """Judges the model after each epoch, tells the study, and stops a trial that is given up.

    Args:
        trial: The Optuna trial, which keeps the scores for other processes to see.
        judge: The score of each task now.
        falls_behind: From the scores of all epochs so far to whether to give the trial up.

    Attributes:
        curve: `{task: score}` after each epoch.
        given_up: Why the trial was given up; None if it was not.
    """

    def __init__(
        self,
        trial: Any,
        judge: Callable[[Any], dict[str, float]],
        falls_behind: Callable[[list[dict[str, float]]], bool],
    ):
        super().__init__()
        self.trial = trial
        self.judge = judge
        self.falls_behind = falls_behind
        self.curve: list[dict[str, float]] = []
        self.given_up: str | None = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not np.all(np.isfinite(loss)):
            # A model without finite weights cannot be judged.
            self._stop(f"the loss was {float(loss)} in epoch {epoch + 1}")
            return
        self.curve.append(self.judge(self.model))
        self.trial.set_user_attr(CURVE, as_json(self.curve))
        if self.falls_behind(self.curve):
            self._stop(f"worse than the median on every task after epoch {epoch + 1}")

    def _stop(self, reason: str) -> None:
        self.given_up = reason
        self.model.stop_training = True


def as_json(curve: list[dict[str, float]]) -> str:
    """Scores as text; one that is not defined is null."""
    plain = [{t: v if np.isfinite(v) else None for t, v in found.items()} for found in curve]
    return json.dumps(plain)


def from_json(told: str) -> list[dict[str, float]]:
    """The scores of `as_json`."""
    found = json.loads(told)
    return [{t: float("nan") if v is None else v for t, v in scores.items()} for scores in found]
