"""Which inputs each task uses, and which the tasks share."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_mtl.evaluation import _explained
from keras_mtl.evaluation._embedded import texts_in
from keras_mtl.evaluation._explanation_pictures import draw_all, pictures_of
from keras_mtl.evaluation._features import Features, features_of, sums_by_feature
from keras_mtl.evaluation._integrated_gradients import integrated_gradients
from keras_mtl.evaluation._permutation import permutation_importances
from keras_mtl.evaluation._table import text_table
from keras_mtl.evaluation._targets import target_of
from keras_mtl.evaluation.affinity import Affinity
from keras_mtl.evaluation.report import write_json

METHODS = ("integrated_gradients", "permutation")
# A feature is used if it has half of what it would have if all features counted alike.
_USED = 0.5
_SHOWN = 20


class Rows(NamedTuple):
    """What integrated gradients tell of each of the n rows.

    Attributes:
        inputs: The rows themselves, by input name; words `(n, T)` where words are read.
        attributions: By task and input name, of the shape of the inputs: what each element adds to
            the target, in its units.
        targets: By task, what is explained of each row: a class, a dimension, or "".
        gaps: By task, `(n,)`: the sum of a row's attributions minus `F(x) - F(baseline)`.
    """

    inputs: dict[str, np.ndarray]
    attributions: dict[str, dict[str, np.ndarray]]
    targets: dict[str, list[str]]
    gaps: dict[str, np.ndarray]


class Explanation:
    """How important each feature is to each task; prints as a table, draws pictures.

    Args:
        importance: `{feature: {task: importance}}`, every task for every feature.
        method: How it was found.
        deviation: The same, the spread over repeats, if it was found by permutation.
        rows: What is known row by row, if it was found by integrated gradients.

    Attributes:
        importance: By integrated gradients the mean over rows of the sum of absolute attributions,
            in units of the target; by permutation what the task's main metric loses.
        tasks: The tasks.
        method: As given.
        deviation: As given, or empty.
        rows: As given, or None.

    >>> found = Explanation({"age": {"a": 3.0, "b": 1.0}, "job": {"a": 1.0, "b": 0.0}}, "permutation")
    >>> found.shares["age"]
    {'a': 0.75, 'b': 1.0}
    >>> found.shared
    {'age': {'a': 0.75, 'b': 1.0}}
    """

    def __init__(
        self,
        importance: Mapping[str, Mapping[str, float]],
        method: str,
        deviation: Mapping[str, Mapping[str, float]] | None = None,
        rows: Rows | None = None,
    ):
        self.importance = {f: dict(by_task) for f, by_task in importance.items()}
        self.tasks = list(next(iter(self.importance.values()), {}))
        self.method = method
        self.deviation = {f: dict(by_task) for f, by_task in (deviation or {}).items()}
        self.rows = rows

    @property
    def shares(self) -> dict[str, dict[str, float]]:
        """Each feature's part of a task's whole importance, which add up to 1; below 0 counts as 0."""
        totals = {t: sum(max(x[t], 0.0) for x in self.importance.values()) for t in self.tasks}
        return {
            f: {t: max(x[t], 0.0) / totals[t] if totals[t] else 0.0 for t in self.tasks}
            for f, x in self.importance.items()
        }

    @property
    def shared(self) -> dict[str, dict[str, float]]:
        """The shares of the features that two or more tasks use, the most shared first.

        A task uses a feature whose share is at least half of an equal one, `1 / (2 F)` of F features.
        """
        least = _USED / max(len(self.importance), 1)
        found = {
            f: {t: share for t, share in by_task.items() if share >= least}
            for f, by_task in self.shares.items()
        }
        several = {f: by_task for f, by_task in found.items() if len(by_task) > 1}
        return dict(
            sorted(several.items(), key=lambda item: (-len(item[1]), -min(item[1].values())))
        )

    @property
    def overlap(self) -> Affinity:
        """How alike what two tasks use is: the cosine of their shares, 0 to 1; can be grouped by."""
        shares = np.array([list(by_task.values()) for by_task in self.shares.values()])
        lengths = np.linalg.norm(shares, axis=0)
        lengths[lengths == 0] = np.nan
        return Affinity(shares.T @ shares / np.outer(lengths, lengths), self.tasks, "used alike")

    @property
    def attributions(self) -> dict[str, dict[str, np.ndarray]]:
        """By task and input name, what each element of each row adds; empty for permutation."""
        return {} if self.rows is None else self.rows.attributions

    @property
    def completeness_gap(self) -> dict[str, float]:
        """By task, how far a row's attributions are from adding up, at the worst; raise `steps`."""
        gaps = {} if self.rows is None else self.rows.gaps
        return {task: float(np.abs(gap).max()) for task, gap in gaps.items()}

    def __str__(self) -> str:
        head, rows = self._table()
        lines = [text_table(head, rows[:_SHOWN])]
        if len(rows) > _SHOWN:
            lines.append(f"... and {len(rows) - _SHOWN} features more")
        for feature, by_task in list(self.shared.items())[:_SHOWN]:
            told = ", ".join(f"{t} {100 * share:.1f} %" for t, share in by_task.items())
            lines.append(f"Shared: {feature} ({told})")
        if self.completeness_gap:
            told = ", ".join(f"{t} {gap:.2g}" for t, gap in self.completeness_gap.items())
            lines.append(f"Attributions miss F(x) - F(baseline) by at most: {told}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """What is known of features as plain Python; what is known of rows is left out."""
        return {
            "method": self.method,
            "tasks": self.tasks,
            "importance": self.importance,
            "deviation": self.deviation,
            "shares": self.shares,
            "shared": self.shared,
            "overlap": self.overlap.to_dict()["matrix"],
            "completeness_gap": self.completeness_gap,
        }

    def to_json(self, path: Any) -> pathlib.Path:
        """Writes `to_dict` as a JSON file, whole or not at all.

        Raises:
            OSError: If the file cannot be written.
        """
        return write_json(self.to_dict(), path)

    def to_markdown(self) -> str:
        """The table of all features in Markdown."""
        head, rows = self._table()
        lines = [head, ["---", *["---:"] * len(self.tasks), "---"], *rows]
        return "".join("| " + " | ".join(c.replace("|", "\\|") for c in x) + " |\n" for x in lines)

    def pictures(self, rows: int = 4) -> dict[str, str]:
        """SVG pictures by title: features by task, and the first rows where words or pictures are.

        Args:
            rows: How many of the rows to draw.
        """
        return pictures_of(self, self._order()[:_SHOWN], rows)

    def draw(self, folder: Any, rows: int = 4) -> list[pathlib.Path]:
        """Writes `pictures`, a file each, and returns the files."""
        return draw_all(self.pictures(rows), folder)

    def _order(self) -> list[str]:
        shares = self.shares
        return sorted(shares, key=lambda feature: -max(shares[feature].values(), default=0.0))

    def _table(self) -> tuple[list[str], list[list[str]]]:
        shares, shared = self.shares, self.shared
        rows = []
        for feature in self._order():
            cells = [f"{100 * shares[feature][t]:.1f} %" for t in self.tasks]
            if self.method == "permutation":
                spread = self.deviation.get(feature, {})
                cells = [
                    f"{self.importance[feature][t]:.4f}"
                    + (f" ± {spread[t]:.4f}" if t in spread else "")
                    for t in self.tasks
                ]
            rows.append([feature, *cells, ", ".join(shared.get(feature, {}))])
        return ["feature", *self.tasks, "shared by"], rows


def explain(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    task: str | Sequence[str] | None = None,
    method: str = "integrated_gradients",
    target: Any = None,
    position: int | None = None,
    baseline: Any = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    grid: int = 4,
    steps: int | None = None,
    repeats: int = 5,
    seed: int = 0,
    batch_size: int = 64,
) -> Explanation:
    """Tells which inputs each task uses, and which the tasks share.

    "integrated_gradients" needs no labels: `(x - x') integral_0^1 dF(x' + a (x - x')) / dx da` says
    what each column, pixel or word of a row adds to F, the served number that is explained, against
    a baseline row x'. What is added sums up to `F(x) - F(x')`. Words and categories move by the
    vectors that they are embedded to. Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep
    Networks", ICML 2017, arXiv:1703.01365.

    "permutation" needs labels: what a task's main metric loses where a feature's values are those of
    other rows, drawn at random. A column is permuted, or a region of the pictures; a kind of word
    gives place, wherever it stands, to the word in that place of another row. Breiman, "Random
    Forests", Machine Learning 45, 2001; by scikit-learn.

    Args:
        model: A `MultiTaskModel`, which is left as it is.
        x: `keras_mtl.data.Examples`, inputs by name, or an array for the only input.
        y: Labels by task name, for permutation; those of `Examples` by default.
        task: Of which task or tasks; all by default (with labels, for permutation).
        method: "integrated_gradients" or "permutation".
        target: What is explained: a class or dimension, by name or number, for one task, or
            `{task: ...}`. By default the class that the model decides for, row by row; the yes of
            a yes-or-no question, the likeliest of several labels, the sum of several dimensions.
            Of tags the chances are summed over positions.
        position: The only position of a sequence of tags to explain.
        baseline: x' by input name, or for the only input: a value, a row or rows; words and
            categories by name. By default the mean row for columns, black for pictures, and the
            vector 0 for words. A number that is NaN stays so, and is attributed 0.
        groups: `{name: features}`, or inputs as a whole, that count as one feature.
        grid: Pictures are cut into so many regions along each side.
        steps: Places on the way from baseline to row, of one Gauss-Legendre rule. By default 32 in
            four stretches, each halved, and again, until it adds up to 0.2 % of the largest change.
        repeats: How often each feature is permuted.
        seed: Of the permutations.
        batch_size: Rows at once.

    Returns:
        An explanation that prints, draws, and saves as JSON or Markdown.

    Raises:
        TypeError: If `model` has no tasks or `x` is not rows.
        ValueError: If an argument is out of range or names what is not there, rows are not finite,
            labels are missing, or an input has no gradient.

    Example:

    >>> import keras_mtl
    >>> train, valid, test = keras_mtl.datasets.multi_digits(train=64, valid=8, test=16)
    >>> model = keras_mtl.build_model(
    ...     keras_mtl.encoders.Image((12, 12, 1), filters=[4]),
    ...     [keras_mtl.tasks.MultiClass("left", 10), keras_mtl.tasks.MultiClass("right", 10)],
    ... )
    >>> found = explain(model, test, grid=2, steps=8)
    >>> list(found.importance)
    ['image[0:6, 0:6]', 'image[0:6, 6:12]', 'image[6:12, 0:6]', 'image[6:12, 6:12]']
    >>> found.attributions["left"]["image"].shape
    (16, 12, 12, 1)
    """
    _explained.check_numbers(
        method,
        METHODS,
        grid=grid,
        steps=1 if steps is None else steps,
        repeats=repeats,
        batch_size=batch_size,
    )
    inputs, labels = _explained.inputs_and_labels(model, x, y)
    names = _explained.chosen_tasks(model, task, labels if method == "permutation" else None)
    groups = groups or {}
    if method == "permutation":
        for argument, given in (("target", target), ("position", position), ("baseline", baseline)):
            if given is not None:
                raise ValueError(
                    f"`{argument}` is for integrated gradients; permutation asks what the main "
                    "metric loses: leave it out."
                )
        texts = texts_in(model, inputs)
        features = features_of(inputs, texts, grid, groups)
        chosen = {name: labels[name] for name in names}
        permuted = permutation_importances(
            model, inputs, texts, features, chosen, repeats, seed, batch_size
        )
        return Explanation(
            _by_feature(features, permuted.means),
            method,
            _by_feature(features, permuted.deviations),
        )
    aims = _explained.by_task(target, names)
    told = _explained.baseline_by_input(baseline, inputs)
    served = _explained.answers_of(model, inputs, names, batch_size)
    targets = {
        name: target_of(
            name, model.tasks.get(name), served[name], aims.get(name), position,
            _explained.there_in(inputs, served[name]),
        )
        for name in names
    }  # fmt: skip
    seeds = {name: of_task.seed for name, of_task in targets.items()}
    found = integrated_gradients(model, inputs, seeds, told, steps, batch_size)
    features = features_of(inputs, found.words, grid, groups)
    n = len(next(iter(inputs.values())))
    sums = {
        name: sums_by_feature(features, {k: np.abs(v) for k, v in found.values[name].items()}) / n
        for name in names
    }
    rows = Rows(
        {**inputs, **found.words},
        found.values,
        {name: of_task.names for name, of_task in targets.items()},
        found.gaps,
    )
    return Explanation(_by_feature(features, sums), method, rows=rows)


def _by_feature(
    features: Features, by_task: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    return {
        feature: {task: float(values[i]) for task, values in by_task.items()}
        for i, feature in enumerate(features.names)
    }
