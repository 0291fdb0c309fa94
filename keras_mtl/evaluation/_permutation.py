"""Permutation importance: how much worse a task gets where a feature is another row's."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_mtl.evaluation._features import Features
from keras_mtl.evaluation._judged import present


class Permuted(NamedTuple):
    """How much each task's main metric loses, `{task: (F,)}`: the mean over repeats, and its spread."""

    means: dict[str, np.ndarray]
    deviations: dict[str, np.ndarray]


def permutation_importances(
    model: Any,
    inputs: Mapping[str, np.ndarray],
    texts: Mapping[str, np.ndarray],
    features: Features,
    labels: Mapping[str, np.ndarray],
    repeats: int,
    seed: int,
    batch_size: int,
) -> Permuted:
    """Breiman's importance by scikit-learn's `permutation_importance`, for all tasks at once.

    scikit-learn permutes the columns of a table. This one's columns are features, and what it
    permutes are the numbers of the rows that the features are taken from.

    Args:
        model: The model.
        inputs: Rows `(n, ...)` by input name.
        texts: Inputs that are read word by word, as words `(n, T)`.
        features: What is permuted.
        labels: By task name.
        repeats: How often.
        seed: Of the permutations.
        batch_size: Rows at once.

    Raises:
        ValueError: If the main metric of a task is not defined on these labels.
    """
    from sklearn.inspection import permutation_importance

    judge = _Judge(model, inputs, texts, features, labels, batch_size)
    n, count = len(next(iter(inputs.values()))), len(features.names)
    rows = np.tile(np.arange(n)[:, None], (1, count))
    found = permutation_importance(
        judge, rows, None, scoring=judge.scores, n_repeats=repeats, random_state=seed
    )
    return Permuted(
        {task: found[task].importances_mean for task in labels},
        {task: found[task].importances_std for task in labels},
    )


class _Judge:
    """A model as scikit-learn sees it: rows of the numbers of rows, a score of each task."""

    def __init__(
        self, model: Any, inputs: Any, texts: Any, features: Features, labels: Any, batch_size: int
    ):
        self.model = model
        self.inputs = inputs
        self.elements = {name: texts.get(name, values) for name, values in inputs.items()}
        self.donors = {
            name: _endless(values) if name in texts else values
            for name, values in self.elements.items()
        }
        self.features = features
        self.labels = labels
        self.batch_size = batch_size
        self.usual = self._answers(inputs)

    def fit(self, rows: Any, labels: Any = None) -> "_Judge":
        """For scikit-learn, which asks for it; the model is trained already."""
        return self

    def scores(self, _: Any, rows: np.ndarray, __: Any) -> dict[str, float]:
        """More is better, whatever the metric."""
        answers = self._with(rows)
        found = {}
        for name, truth in self.labels.items():
            task = self.model.tasks[name]
            there = present(truth, task.real_labels)
            labelled = there.reshape(len(there), -1).any(axis=1)
            score = task.score(truth[labelled], answers[name][labelled])[task.main_metric]
            if not np.isfinite(score):
                raise ValueError(
                    f"The {task.main_metric} of task {name!r} is not defined on these labels; give "
                    "rows of all its classes."
                )
            found[name] = score if task.higher_is_better else -score
        return found

    def _with(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        changed: dict[str, np.ndarray] = {}
        other = np.zeros(len(rows), bool)
        for f in np.flatnonzero((rows != np.arange(len(rows))[:, None]).any(axis=0)):
            for name, codes in self.features.codes.items():
                at = codes == f
                if not at.any():
                    continue
                values = changed.get(name, self.elements[name])
                mixed = np.where(at, self.donors[name][rows[:, f]], values)
                differs = ~((mixed == values) | ((mixed != mixed) & (values != values)))
                other |= differs.reshape(len(rows), -1).any(axis=1)
                changed[name] = mixed
        answers = {name: served.copy() for name, served in self.usual.items()}
        if other.any():
            made = {k: self._as_input(k, v[other]) for k, v in changed.items()}
            # A row's answer does not depend on the others': most are known already.
            some = self._answers({k: made.get(k, v[other]) for k, v in self.inputs.items()})
            for name, served in some.items():
                answers[name][other] = served
        return answers

    def _as_input(self, name: str, elements: np.ndarray) -> np.ndarray:
        given = self.inputs[name]
        if elements.ndim == given.ndim:
            return elements.astype(given.dtype)  # Also numbers of words, which were made text.
        return np.array([" ".join(word for word in row if word) for row in elements], dtype=object)

    def _answers(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        n = len(next(iter(inputs.values())))
        found: dict[str, list[np.ndarray]] = {name: [] for name in self.labels}
        for i in range(0, n, self.batch_size):
            rows = {name: values[i : i + self.batch_size] for name, values in inputs.items()}
            answers = self.model.predict_on_batch(rows)
            for name, parts in found.items():
                parts.append(np.asarray(answers[name], "float32"))
        return {name: np.concatenate(parts) for name, parts in found.items()}


def _endless(words: np.ndarray) -> np.ndarray:
    """Rows of words, each begun anew where it ends, so that it has a word for every position."""
    lengths = np.maximum((words != "").sum(axis=1, keepdims=True), 1)
    return np.take_along_axis(words, np.arange(words.shape[1])[None, :] % lengths, axis=1)
