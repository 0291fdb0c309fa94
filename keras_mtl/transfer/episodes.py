"""Small problems of a few classes with a few examples each, drawn from a labelled data set."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Episode(NamedTuple):
    """One problem: what is shown with labels, and what is asked.

    Attributes:
        support: What is shown, `ways * shots` rows in the form of the data, class by class.
        support_labels: `(ways * shots,)`, from 0 to `ways - 1`.
        query: What is asked, `ways * queries` rows, class by class.
        query_labels: `(ways * queries,)`.
        classes: `(ways,)`, which classes of the data these are.
    """

    support: Any
    support_labels: np.ndarray
    query: Any
    query_labels: np.ndarray
    classes: np.ndarray


class Episodes:
    """Problems of N classes and K examples each, without end and the same at every iteration.

    Vinyals, Blundell, Lillicrap, Kavukcuoglu and Wierstra, "Matching Networks for One Shot Learning",
    NeurIPS 2016, arXiv:1606.04080. Classes are drawn evenly, and of each class rows without
    replacement, so that nothing that is asked is shown.

    Args:
        x: An array of rows, or a dict of them.
        labels: `(rows,)` whole numbers, -1 where a row has no label and is left out.
        ways: N, how many classes are told apart.
        shots: K, how many rows of each are shown.
        queries: How many rows of each are asked.
        classes: The classes to draw from; all that the labels have by default.
        seed: Makes the draws repeatable.

    Raises:
        ValueError: If labels are not one whole number a row, classes are too few or unknown, or one
            has too few rows.

    Example:

    >>> episodes = Episodes(np.arange(8), np.array([0, 0, 1, 1, 2, 2, -1, -1]), ways=2, queries=1)
    >>> episode = next(iter(episodes))
    >>> len(episode.support), len(episode.query), episode.query_labels
    (2, 2, array([0, 1]))
    """

    def __init__(
        self,
        x: Any,
        labels: Any,
        ways: int = 5,
        shots: int = 1,
        queries: int = 15,
        *,
        classes: Sequence[int] | None = None,
        seed: int = 0,
    ):
        self.x = x
        self.labels = np.asarray(labels)
        self.ways, self.shots, self.queries = ways, shots, queries
        self.seed = seed
        if min(ways - 1, shots, queries) < 1:
            raise ValueError(
                f"Episodes came with ways={ways}, shots={shots}, queries={queries}; expected at least "
                "two ways, one shot and one query."
            )
        if self.labels.ndim != 1 or self.labels.dtype.kind not in "iu":
            raise ValueError(
                f"`labels` of Episodes came as {self.labels.dtype} of shape {self.labels.shape}; "
                "expected one whole number a row."
            )
        arrays = list(x.values()) if isinstance(x, Mapping) else [x]
        if any(len(array) != len(self.labels) for array in arrays):
            raise ValueError(
                f"`x` of Episodes has {[len(array) for array in arrays]} rows, but there are "
                f"{len(self.labels)} labels; expected one a row."
            )
        known = np.unique(self.labels[self.labels >= 0])
        self.classes = known if classes is None else np.unique(np.asarray(classes))
        self._rows = {int(c): np.flatnonzero(self.labels == c) for c in self.classes}
        self._check(known)

    def _check(self, known: np.ndarray) -> None:
        if len(self.classes) < self.ways or not np.isin(self.classes, known).all():
            raise ValueError(
                f"Episodes of {self.ways} ways draw from the classes {self.classes.tolist()}, and the "
                f"labels have {known.tolist()}; expected at least as many classes as ways, all of them "
                "among the labels."
            )
        needed = self.shots + self.queries
        few = {c: len(rows) for c, rows in self._rows.items() if len(rows) < needed}
        if few:
            raise ValueError(
                f"Episodes of {self.shots} shots and {self.queries} queries need {needed} rows a class, "
                f"but these classes have fewer: {few}; ask for fewer, or leave them out of `classes`."
            )

    def __iter__(self) -> Iterator[Episode]:
        rng = np.random.default_rng(self.seed)
        while True:
            classes = rng.choice(self.classes, self.ways, replace=False)
            drawn = np.stack(
                [
                    rng.choice(self._rows[int(c)], self.shots + self.queries, replace=False)
                    for c in classes
                ]
            )
            yield Episode(
                self._taken(drawn[:, : self.shots]),
                np.repeat(np.arange(self.ways), self.shots),
                self._taken(drawn[:, self.shots :]),
                np.repeat(np.arange(self.ways), self.queries),
                classes,
            )

    def _taken(self, rows: np.ndarray) -> Any:
        rows = rows.reshape(-1)
        if isinstance(self.x, Mapping):
            return {name: np.asarray(array)[rows] for name, array in self.x.items()}
        return np.asarray(self.x)[rows]
