"""How much tasks help or harm each other while they are trained together."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_mtl._door import training_labels
from keras_mtl._names import refuse_unknown
from keras_mtl._prediction import Prediction
from keras_mtl.data import Examples
from keras_mtl.data._columns import Sequences
from keras_mtl.evaluation._by_input import by_input
from keras_mtl.evaluation._heat_map import digits_for, write_heat_map
from keras_mtl.evaluation._probe import Probe, twin_of
from keras_mtl.evaluation._table import text_table
from keras_mtl.evaluation.report import write_json


class Affinity:
    """What each task does for each other; prints as a table, draws as a heat map.

    Args:
        matrix: `(K, K)`: what the task of the row does for that of the column; NaN if not known.
        task_names: The K tasks.
        kind: What was measured, for the table's and the picture's title.

    Attributes:
        matrix: As given, in float64.
        task_names: As given.
        kind: As given.

    Raises:
        ValueError: If the matrix is not square with a row for each task, or names are not distinct.

    >>> found = Affinity([[1.0, -0.25], [0.5, 1.0]], ["price", "sold"])
    >>> found["sold", "price"]
    0.5
    >>> print(found)
    of, onto  price    sold
    -----------------------
    price     1.000  -0.250
    sold      0.500   1.000
    """

    def __init__(self, matrix: Any, task_names: Sequence[str], kind: str = "affinity"):
        self.matrix = np.array(matrix, "float64")
        self.task_names = list(task_names)
        self.kind = kind
        k = len(self.task_names)
        if k == 0 or self.matrix.shape != (k, k):
            raise ValueError(
                f"`matrix` has the shape {self.matrix.shape}; expected a square of "
                f"({k}, {k}), a row and a column for each of the tasks {self.task_names}."
            )
        if len(set(self.task_names)) < k:
            raise ValueError(f"`task_names` are {self.task_names}; expected each task once.")

    def __getitem__(self, pair: tuple[str, str]) -> float:
        """What the first task does for the second."""
        refuse_unknown("affinity", pair, self.task_names)
        one, other = (self.task_names.index(name) for name in pair)
        return float(self.matrix[one, other])

    def __str__(self) -> str:
        digits = digits_for(self.matrix)
        rows = [
            [name, *(f"{value:.{digits}f}" for value in row)]
            for name, row in zip(self.task_names, self.matrix, strict=True)
        ]
        return text_table(["of, onto", *self.task_names], rows)

    def to_dict(self) -> dict[str, Any]:
        """Everything in it as plain Python: `matrix` is `{task: {onto: value}}`, None if not known."""
        names = self.task_names
        return {
            "kind": self.kind,
            "matrix": {
                one: {n: None if np.isnan(v) else float(v) for n, v in zip(names, row, strict=True)}
                for one, row in zip(names, self.matrix, strict=True)
            },
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Affinity":
        """What `to_dict` was made of."""
        names = list(content["matrix"])
        rows = [[content["matrix"][one][other] for other in names] for one in names]
        return cls(np.array(rows, "float64"), names, content["kind"])

    def to_json(self, path: Any) -> pathlib.Path:
        """Writes `to_dict` as a JSON file, whole or not at all."""
        return write_json(self.to_dict(), path)

    def draw(self, path: Any) -> pathlib.Path:
        """Writes a heat map as an SVG file that needs nothing else."""
        title = f"{self.kind}: what the task of the row does for that of the column"
        return write_heat_map(path, self.matrix, self.task_names, title)


def gradient_cosines(model: Any, data: Any, y: Any = None, *, batch_size: int = 64) -> Affinity:
    """Whether the tasks pull what they share the same way: 1 the same, -1 against each other.

    The cosine of each two tasks' gradients of the shared variables, a mean over batches; a batch
    without labels of a task is left out for it.

    Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, arXiv:2001.06782.

    Args:
        model: A compiled `MultiTaskModel`, which is left as it is.
        data: `keras_mtl.data.Examples`, batches of `(inputs, labels)`, or inputs alone with `y`.
        y: Labels by task name, where `data` is inputs.
        batch_size: Rows a batch, of what does not come in batches.

    Raises:
        ValueError: If the model is not compiled or shares nothing, there is no batch, or a loss or a
            gradient is not finite.
    """
    batches = _batches(model, data, y, batch_size, None)
    probe = Probe(_ready(model, batches))
    found = []
    for batch in batches:
        _, gradients = probe.gradients(batch)
        k = len(gradients)
        gramian = np.zeros((k, k))
        # Variable by variable, so that no K x P matrix is made.
        for of_variable in zip(*gradients, strict=True):
            flat = np.stack([ops.convert_to_numpy(g).ravel() for g in of_variable], dtype="float64")
            gramian += flat @ flat.T
        if not np.isfinite(gramian).all():
            raise ValueError(
                "A gradient is not finite; look for labels and inputs out of range, or for an "
                "operation without a derivative."
            )
        lengths = np.sqrt(np.diag(gramian))
        lengths[lengths == 0] = np.nan
        found.append(gramian / np.outer(lengths, lengths))
    return Affinity(_mean(found), probe.task_names, "gradient cosine")


def task_affinity(
    model: Any,
    data: Any,
    y: Any = None,
    *,
    epochs: int = 1,
    batch_size: int = 64,
    every: int = 10,
    learning_rate: float | None = None,
    seed: int = 0,
) -> Affinity:
    """How much a step of each task lowers the others' losses, measured during one training run.

    Z_ij = 1 - L_j(theta - eta grad L_i) / L_j(theta), theta what is shared, each on a batch in
    training and before the step that training then takes; a mean over training. Positive where task
    i helps task j. A twin of the model is trained, as compiled, by the steps that it would have
    taken if nobody had measured; the model is left as it is.

    Fifty et al., "Efficiently Identifying Task Groupings for Multi-Task Learning", NeurIPS 2021,
    arXiv:2109.04617.

    Args:
        model: A compiled `MultiTaskModel`.
        data: `keras_mtl.data.Examples`, batches of `(inputs, labels)`, or inputs alone with `y`.
        y: Labels by task name, where `data` is inputs.
        epochs: Passes over the data.
        batch_size: Rows a batch, of what does not come in batches.
        every: Measured before each `every`-th step; one measurement costs about 2 K steps.
        learning_rate: eta; the optimizer's own, as it is then, if not given. Look-aheads are plain
            gradient steps, so that no task's carries what momentum remembers of the others.
        seed: Of the order of rows that do not come in batches.

    Raises:
        ValueError: If the model is not compiled or shares nothing, there is no batch, a number is
            not positive, or a loss is not finite.
    """
    for name, number in (("epochs", epochs), ("every", every), ("learning_rate", learning_rate)):
        if number is not None and not number > 0:
            raise ValueError(f"`{name}` is {number!r}; expected a positive number.")
    batches = _batches(model, data, y, batch_size, seed)
    trained = _ready(model, batches)
    probe = Probe(trained)
    found = []
    step = 0
    for _ in range(epochs):
        for batch in batches:
            if step % every == 0:
                found.append(look_ahead(probe, batch, learning_rate))
            trained.train_on_batch(*batch)
            step += 1
        trained.reset_metrics()
        if trained.balancer is not None:
            trained.balancer.on_epoch_end()
    return Affinity(_mean(found), probe.task_names, "look-ahead affinity")


def look_ahead(
    probe: Probe, batch: Sequence[Any], learning_rate: float | None = None
) -> np.ndarray:
    """One measurement of `task_affinity`, `(K, K)`, from where the probe's model is.

    Args:
        probe: Of the model.
        batch: `(inputs, labels)` or `(inputs, labels, weights)`.
        learning_rate: Of the look-ahead; that of the model's optimizer, if not given.

    Returns:
        The affinities, NaN for tasks of which the batch has no label or whose loss is 0.
    """
    if learning_rate is None:
        learning_rate = float(ops.convert_to_numpy(probe.model.optimizer.learning_rate))
    before, gradients = probe.gradients(batch)
    before[before == 0] = np.nan
    matrix = np.stack(
        [
            # By the size, so that less is better for losses below 0, too.
            (before - probe.losses_after(batch, [-learning_rate * g for g in of_task]))
            / np.abs(before)
            for of_task in gradients
        ]
    )
    matrix[np.isnan(before)] = np.nan
    return matrix


def _ready(model: Any, batches: Any) -> Any:
    """A twin of the model with its optimizer and all that `fit` learns of labels beforehand."""
    twin = twin_of(model)
    for mine, its in zip(twin.weights, model.weights, strict=True):
        mine.assign(its)
    twin.optimizer.build(twin.trainable_variables)
    if model.optimizer.built:
        for mine, its in zip(twin.optimizer.variables, model.optimizer.variables, strict=True):
            mine.assign(its)
    waiting = [x.task for x in twin.layers if isinstance(x, Prediction) and x.needs_labels]
    names = [name for name, task in twin.tasks.items() if any(task is other for other in waiting)]
    twin.adapt(training_labels(names, batches, None))
    return twin


def _batches(model: Any, data: Any, y: Any, batch_size: int, seed: int | None) -> Iterable[Any]:
    """Batches to read as often as one likes; shuffled where there is a seed."""
    if y is not None:
        data = Examples(by_input(model, data), y)
    if not isinstance(data, Examples):
        return data
    bucket = seed is not None and any(isinstance(c, Sequences) for c in data.inputs.values())
    return data.dataset(batch_size, shuffle=seed is not None, seed=seed, bucket=bucket)


def _mean(found: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of what is known of each pair; NaN where nothing is."""
    if not found:
        raise ValueError("The data give no batch to measure on; give at least one row.")
    counts = np.sum([~np.isnan(one) for one in found], axis=0)
    total = np.sum([np.nan_to_num(one) for one in found], axis=0)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
