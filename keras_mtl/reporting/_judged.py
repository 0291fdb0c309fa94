"""What a model answered to the rows of one task, in the forms that sections read.

Kinds of tasks are told apart by what they answer, not by their class, so that a task of a user's
own is judged like those of `keras_mtl.tasks` that answer alike.
"""

import dataclasses
import enum
import functools
from typing import Any

import numpy as np

from keras_mtl._labels import MISSING
from keras_mtl.evaluation._judged import present


class Kind(enum.Enum):
    """What a task answers."""

    YES_NO = "yes or no"
    ONE_CLASS = "one of several classes"
    CLASSES = "any of several classes"
    NUMBERS = "numbers"
    TAGS = "a tag a position"
    OTHER = "something of its own"


@dataclasses.dataclass(frozen=True)
class Judged:
    """Labels and answers of a task, of the rows that have any label of it.

    Attributes:
        name: The task's name.
        task: The task object.
        labels: `(n, ...)`, as the data give them.
        answers: `(n, ...)`, as the model serves them.
        rows: `(n,)`, where these rows stand in the data, 0 the first.
        scores: The task's metrics on them.
    """

    name: str
    task: Any
    labels: np.ndarray
    answers: np.ndarray
    rows: np.ndarray
    scores: dict[str, float]

    @functools.cached_property
    def kind(self) -> Kind:
        """What the task answers."""
        task, width = self.task, int(np.prod(self.answers.shape[1:]))
        if task.classes is None:
            alike = self.labels.size == self.answers.size and task.real_labels
            return Kind.NUMBERS if alike else Kind.OTHER
        if task.keeps_positions:
            return Kind.TAGS
        if task.elementwise:
            return Kind.CLASSES
        if width == 1 and len(task.classes) == 2:
            return Kind.YES_NO
        return Kind.ONE_CLASS if width == len(task.classes) else Kind.OTHER

    @functools.cached_property
    def there(self) -> np.ndarray:
        """Which labels are there; of the labels' shape."""
        return present(self.labels, self.task.real_labels)

    @functools.cached_property
    def ids(self) -> np.ndarray:
        """Class ids, -1 where missing, less where the task does not know the class.

        `(n,)`; `(n, C)` of 0 and 1 for any of several classes, `(n, T)` for tags.
        """
        whole = np.where(self.there, self.labels, MISSING).astype("int64")
        return whole if self.kind in (Kind.CLASSES, Kind.TAGS) else whole.reshape(len(whole))

    @functools.cached_property
    def decided(self) -> np.ndarray:
        """What the model decides for, in the form of `ids`."""
        return np.asarray(self.task.labels_from(self.answers)).reshape(self.ids.shape)

    @functools.cached_property
    def chances(self) -> np.ndarray:
        """Served probabilities in float64: `(n,)` of yes, `(n, C)`, or `(n, T, C)` for tags."""
        found = np.asarray(self.answers, "float64")
        return found.reshape(len(found)) if self.kind is Kind.YES_NO else found

    @functools.cached_property
    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """True and said numbers, `(n, D)` each, true ones NaN where missing."""
        said = np.asarray(self.answers, "float64").reshape(len(self.answers), -1)
        true = np.where(self.there, np.asarray(self.labels, "float64"), np.nan)
        return true.reshape(said.shape), said

    @functools.cached_property
    def classes(self) -> list[str]:
        """Names of the classes, none for numbers."""
        return list(self.task.classes or [])

    @functools.cached_property
    def dimensions(self) -> list[str]:
        """Names of the dimensions of numbers, with their units; empty for a single one."""
        told = self.task.describe()
        width = self.numbers[0].shape[1]
        named = [str(d) for d in told.get("dimensions", range(width))]
        return named if width > 1 else [""]

    @property
    def units(self) -> str:
        """What numbers are measured in, or nothing."""
        return str(self.task.describe().get("units") or "")

    @property
    def served_is_probability(self) -> bool:
        """Whether the served numbers are chances; of a chain of tags they are scores of paths."""
        return self.kind in _OF_CLASSES and self.task.get_config().get("decoder") != "crf"

    @functools.cached_property
    def guess(self) -> dict[str, float]:
        """The metrics of an answer that looks at no input: the labels' own mean, for every row."""
        if self.kind is Kind.OTHER:
            return {}
        constant = np.broadcast_to(self._mean_label(), self.answers.shape)
        return self.task.score(self.labels, np.array(constant, "float64"))

    @functools.cached_property
    def skill(self) -> float:
        """How far the main metric is from that guess to the best possible: 0 the guess, 1 the best."""
        main = self.task.main_metric
        value, base = self.scores.get(main, np.nan), self.guess.get(main, np.nan)
        if not self.task.higher_is_better:
            return (base - value) / base if base else np.nan
        return (value - base) / (1 - base) if base != 1 else np.nan

    def _mean_label(self) -> np.ndarray:
        if self.kind is Kind.NUMBERS:
            return np.nanmean(self.numbers[0], axis=0).reshape(self.answers.shape[1:])
        if self.kind is Kind.CLASSES:
            counts = (self.ids >= 0).sum(axis=0)
            return (self.ids == 1).sum(axis=0) / np.maximum(counts, 1)
        if self.kind is Kind.YES_NO:
            return np.mean(self.ids == 1)
        known = self.ids[self.ids >= 0]
        shares = np.bincount(known, minlength=len(self.classes)) / max(known.size, 1)
        return shares.reshape((1,) * (self.answers.ndim - 1) + (-1,))


_OF_CLASSES = (Kind.YES_NO, Kind.ONE_CLASS, Kind.CLASSES, Kind.TAGS)


def row_losses(judged: Judged) -> np.ndarray:
    """How wrong each row is, `(n,)`.

    The mean over the row's labels of -log of the chance that was given to what is true; for
    numbers, of the squared error in units of the target's own deviation.
    """
    if judged.kind is Kind.NUMBERS:
        true, said = judged.numbers
        scale = np.nanstd(true, axis=0)
        return np.nanmean(np.square((said - true) / np.where(scale > 0, scale, 1.0)), axis=1)
    losses = -np.log(np.maximum(chance_of_truth(judged), 1e-12))
    if losses.ndim == 1:
        return losses
    return np.sum(losses, axis=1, where=judged.there) / judged.there.sum(axis=1)


def chance_of_truth(judged: Judged) -> np.ndarray:
    """The chance that was given to what is true, in the form of `ids`; 0 for unknown classes."""
    ids, chances = judged.ids, judged.chances
    if judged.kind in (Kind.YES_NO, Kind.CLASSES):
        given = np.where(ids == 1, chances, 1 - chances)
    else:
        given = np.take_along_axis(chances, np.maximum(ids, 0)[..., None], axis=-1)[..., 0]
    return np.where(ids >= 0, given, 0.0)
