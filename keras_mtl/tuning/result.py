"""What a study has found: its trials, the Pareto front, a table and a picture of it."""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from keras_mtl.evaluation._svg import write_svg
from keras_mtl.evaluation._table import text_table
from keras_mtl.evaluation.report import write_json
from keras_mtl.tuning._front_picture import front_picture
from keras_mtl.tuning.front import best_of, pareto_front


@dataclasses.dataclass(frozen=True)
class Trial:
    """One model that was trained.

    Attributes:
        number: Its number in the study.
        state: "finished", "pruned", "failed", "running" or "waiting".
        parameters: What `build` was given.
        scores: The main metric of each task on the validation rows, if it finished.
        curve: The same after each epoch.
        seconds: How long it took.
        reason: Why it did not finish.
    """

    number: int
    state: str
    parameters: dict[str, Any]
    scores: dict[str, float]
    curve: list[dict[str, float]]
    seconds: float | None
    reason: str | None


class Tuning:
    """What `keras_mtl.tune` has found; prints the Pareto front as a table.

    Attributes:
        metrics: By task, the metric that it is judged by.
        higher_is_better: By task, whether more of it is better.
        trials: All trials, in the order of their numbers.
        study: The Optuna study, for whatever Optuna can do with it.
    """

    def __init__(
        self,
        metrics: Mapping[str, str],
        higher_is_better: Mapping[str, bool],
        space: Mapping[str, Any],
        trials: Sequence[Trial],
        study: Any = None,
    ):
        self.metrics = dict(metrics)
        self.higher_is_better = dict(higher_is_better)
        self.trials = list(trials)
        self.study = study
        self._space = dict(space)

    @property
    def finished(self) -> list[Trial]:
        """The trials that came to their end."""
        return [trial for trial in self.trials if trial.state == "finished"]

    @property
    def front(self) -> list[Trial]:
        """The finished trials that no other one beats, from the best on the first task on."""
        done = self.finished
        return [done[i] for i in pareto_front([t.scores for t in done], self.higher_is_better)]

    def best(self, weights: Mapping[str, float] | None = None) -> Trial:
        """The finished trial with the largest weighted mean; each task's worst is 0, its best 1.

        Args:
            weights: By task, how much it counts; 1 where a task is not named.

        Raises:
            ValueError: If no trial has finished, or the weights are not fit.
        """
        done = self.finished
        return done[best_of([t.scores for t in done], self.higher_is_better, weights)]

    def told(self, trial: Trial) -> dict[str, Any]:
        """The parameters of a trial by the names of their options, as JSON holds them."""
        return {name: self._space[name].told(value) for name, value in trial.parameters.items()}

    def __str__(self) -> str:
        counts = collections.Counter(trial.state for trial in self.trials)
        states = ", ".join(f"{n} {state}" for state, n in counts.items()) or "none yet"
        if not counts["finished"]:
            return f"No trial has finished; trials: {states}."
        best = self.best().number
        return (
            f"The Pareto front, {len(self.front)} of {counts['finished']} finished trials:\n"
            + text_table(self._head(), self._rows())
            + f"\nTrials: {states}. Best with equal weights: trial {best}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything in it as plain Python."""
        trials = [
            {**dataclasses.asdict(trial), "parameters": self.told(trial)} for trial in self.trials
        ]
        return {
            "metrics": self.metrics,
            "higher_is_better": self.higher_is_better,
            "front": [trial.number for trial in self.front],
            "best": self.best().number if self.finished else None,
            "trials": trials,
        }

    def to_json(self, path: Any) -> pathlib.Path:
        """Writes `to_dict` as a JSON file, whole or not at all."""
        return write_json(self.to_dict(), path)

    def to_markdown(self) -> str:
        """The Pareto front in Markdown."""
        head = self._head()
        lines = ["| " + " | ".join(head) + " |", "| ---: " * len(head) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in self._rows()]
        return "\n".join(lines) + "\n"

    def draw(self, path: Any) -> pathlib.Path:
        """Writes a picture of all finished trials, the front marked, as an SVG file.

        Two tasks are the axes of a plane; of more, each has an axis of its own, and a trial is a
        line across them; of one, the score is drawn over the trials.

        Raises:
            ValueError: If no trial has finished.
        """
        done = self.finished
        if not done:
            raise ValueError("There is no finished trial to draw; let more trials finish.")
        marked = {trial.number for trial in self.front}
        axes = {t: (f"{t} {self.metrics[t]}", up) for t, up in self.higher_is_better.items()}
        points = {trial.number: [trial.scores[task] for task in axes] for trial in done}
        return write_svg(path, front_picture(list(axes.values()), points, marked))

    def _head(self) -> list[str]:
        judged = [f"{task} {metric}" for task, metric in self.metrics.items()]
        return ["trial", *judged, *self._space]

    def _rows(self) -> list[list[str]]:
        rows = []
        for trial in self.front:
            scores = [f"{trial.scores[task]:.4f}" for task in self.metrics]
            told = self.told(trial)
            rows.append([str(trial.number), *scores, *(_shown(told[name]) for name in self._space)])
        return rows


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)
