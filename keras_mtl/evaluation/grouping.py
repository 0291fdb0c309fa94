"""Which tasks to train together: groups of tasks, by how much they help each other."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl._names import refuse_unknown
from keras_mtl.evaluation._heat_map import digits_for, write_heat_map
from keras_mtl.evaluation._partition import EXACT_UP_TO, best_partition, good_partition, worth
from keras_mtl.evaluation._table import text_table
from keras_mtl.evaluation.affinity import Affinity, task_affinity
from keras_mtl.evaluation.report import write_json

_METHODS = ("auto", "exact", "greedy")


class Groups(Sequence):
    """Groups of tasks to train together, and what is predicted of them; reads as a list of lists.

    A task's predicted score is the mean affinity onto it of the tasks that are trained with it, as
    pairs tell it: how several tasks together act on one is not known of an affinity.

    Args:
        affinity: What each task does for each other.
        groups: The tasks that each group serves, each task in one group.
        helpers: Tasks that each group trains besides and does not serve; none, if not given.
        alone: What a task scores that is trained alone, by name; 0 where it is not named.
        made_by: How they were found, for whoever reads it.

    Attributes:
        affinity, groups, helpers, alone, made_by: As given, in full.
        scores: The predicted score of each task.

    Raises:
        ValueError: If a task is unknown, left out, in two groups, or a helper of its own group; if a
            group is empty; or if the affinity of a pair is not known.

    >>> found = Affinity([[0, 1, -1], [3, 0, -1], [-1, -1, 0]], ["a", "b", "c"])
    >>> print(Groups(found, [["a", "b"], ["c"]]))
    task  group  score
    ------------------
    a         1   3.00
    b         1   1.00
    c         2   0.00
    Predicted score 4.00, the sum over tasks.
    """

    def __init__(
        self,
        affinity: Affinity,
        groups: Sequence[Sequence[str]],
        helpers: Sequence[Sequence[str]] | None = None,
        alone: Mapping[str, float] | None = None,
        made_by: str = "",
    ):
        self.affinity = known_affinity(affinity)
        self.groups = [list(group) for group in groups]
        self.helpers = [list(h) for h in helpers] if helpers else [[] for _ in self.groups]
        self.alone = _alone(affinity, alone)
        self.made_by = made_by
        self._check()
        self.scores = {
            task: self._score(task, self.groups[i] + self.helpers[i])
            for task, i in sorted(
                ((t, i) for i, group in enumerate(self.groups) for t in group),
                key=lambda pair: affinity.task_names.index(pair[0]),
            )
        }

    @property
    def score(self) -> float:
        """The predicted score, the sum over tasks."""
        return float(sum(self.scores.values()))

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, i: Any) -> Any:
        return self.groups[i]

    def __str__(self) -> str:
        digits = digits_for(self.affinity.matrix)
        rows: list[list[str]] = []
        for i, group in enumerate(self.groups):
            rows.extend([t, str(i + 1), f"{self.scores[t]:.{digits}f}"] for t in group)
        told = [f"Group {i + 1} also trains {', '.join(h)}." for i, h in self._helped()]
        last = f"Predicted score {self.score:.{digits}f}, the sum over tasks"
        last += f"; {self.made_by}." if self.made_by else "."
        return "\n".join([text_table(["task", "group", "score"], rows), *told, last])

    def to_dict(self) -> dict[str, Any]:
        """Everything in it as plain Python."""
        return {
            "groups": self.groups,
            "helpers": self.helpers,
            "scores": self.scores,
            "score": self.score,
            "alone": self.alone,
            "made_by": self.made_by,
            "affinity": self.affinity.to_dict(),
        }

    def to_json(self, path: Any) -> Any:
        """Writes `to_dict` as a JSON file, whole or not at all."""
        return write_json(self.to_dict(), path)

    def draw(self, path: Any) -> Any:
        """Writes an SVG heat map, tasks in the order of their groups, with the pairs used framed."""
        names = [task for group in self.groups for task in group]
        at = [self.affinity.task_names.index(name) for name in names]
        place = {name: i for i, name in enumerate(names)}
        framed = [
            (place[one], place[other])
            for group, helpers in zip(self.groups, self.helpers, strict=True)
            for other in group
            for one in group + helpers
            if one != other
        ]
        matrix = self.affinity.matrix[np.ix_(at, at)]
        notes = [f"Group {i + 1}: {', '.join(group)}" for i, group in enumerate(self.groups)]
        for i, helpers in self._helped():
            notes[i] += f" (trained with {', '.join(helpers)})"
        notes.append(f"Predicted score {self.score:.{digits_for(matrix)}f}")
        return write_heat_map(
            path, matrix, names, f"Groups by {self.affinity.kind}", framed=framed, notes=notes
        )

    def _score(self, task: str, trained: Sequence[str]) -> float:
        partners = [self.affinity[other, task] for other in trained if other != task]
        return float(np.mean(partners)) if partners else self.alone[task]

    def _helped(self) -> Iterator[tuple[int, list[str]]]:
        return ((i, helpers) for i, helpers in enumerate(self.helpers) if helpers)

    def _check(self) -> None:
        names = self.affinity.task_names
        for what, lists in (("groups", self.groups), ("helpers", self.helpers)):
            refuse_unknown(what, [task for tasks in lists for task in tasks], names)
        served = [task for group in self.groups for task in group]
        missing = [task for task in names if task not in served]
        twice = sorted({task for task in served if served.count(task) > 1})
        if missing or twice or not all(self.groups):
            raise ValueError(
                f"`groups` came as {self.groups}, which leaves out {missing}, has {twice} more than "
                f"once and {sum(not group for group in self.groups)} groups without a task; expected "
                f"each of {names} in one group."
            )
        pairs = list(zip(self.groups, self.helpers, strict=False))
        wrong = [h for group, h in pairs if len({*group, *h}) < len(group) + len(h)]
        if wrong or len(self.helpers) != len(self.groups):
            raise ValueError(
                f"`helpers` came as {self.helpers}; expected for each of the {len(self.groups)} "
                "groups the tasks that it trains and does not serve, each once."
            )


def group_tasks(
    affinity: Affinity,
    groups: int | None = None,
    *,
    overlap: bool = False,
    alone: Mapping[str, float] | None = None,
    method: str = "auto",
) -> Groups:
    """Parts the tasks into groups to train together, each a model.

    Maximises the sum over tasks of the mean affinity onto it of the other tasks of its group.

    Fifty et al., "Efficiently Identifying Task Groupings for Multi-Task Learning", NeurIPS 2021,
    arXiv:2109.04617.

    Args:
        affinity: What each task does for each other.
        groups: How many groups there may be, at the most; as many as tasks, if not given. Of
            groupings that are as good the one of the fewest groups is taken.
        overlap: Whether a task may also be trained in groups that do not serve it, for the others'
            sake.
        alone: What a task scores that is trained alone, by name; 0 where it is not named.
        method: "exact" (the best of all, up to 12 tasks), "greedy", or "auto": exact where it can be.

    Raises:
        TypeError: If `affinity` is no `Affinity`.
        ValueError: If `groups` is not from 1 to the number of tasks, a task is unknown, the affinity
            of a pair is not known, or `method` is unknown or cannot be.

    >>> found = Affinity([[0, 1, -1], [3, 0, -1], [-1, -1, 0]], ["a", "b", "c"])
    >>> list(group_tasks(found, 2))
    [['a', 'b'], ['c']]
    """
    matrix = known_affinity(affinity).matrix
    k = len(matrix)
    at_most = k if groups is None else groups
    if not 1 <= at_most <= k:
        raise ValueError(f"`groups` is {groups!r}; expected a number from 1 to the {k} tasks.")
    if method not in _METHODS:
        raise ValueError(f"`method` is {method!r}; expected one of {list(_METHODS)}.")
    if method == "exact" and k > EXACT_UP_TO:
        raise ValueError(
            f"`method` is 'exact', but there are {k} tasks; expected {EXACT_UP_TO} at the most: use "
            "'greedy' or 'auto'."
        )
    scores = np.array(list(_alone(affinity, alone).values()))
    exact = method == "exact" or (method == "auto" and k <= EXACT_UP_TO)
    found, looked = (best_partition if exact else good_partition)(matrix, scores, at_most, overlap)
    found = sorted(sorted(group) for group in found)
    members = np.array([[i in group for i in range(k)] for group in found])
    _, helpers = worth(matrix, scores, members, overlap)

    def named(places: Any) -> list[str]:
        return [affinity.task_names[i] for i in places]

    return Groups(
        affinity,
        [named(group) for group in found],
        [named(np.flatnonzero(h)) for h in helpers],
        alone,
        f"the best of all groups, {looked:,} splits looked at"
        if exact
        else f"found greedily, {looked:,} groups looked at",
    )


def suggest_groups(
    source: Any,
    data: Any = None,
    y: Any = None,
    *,
    max_groups: int | None = None,
    overlap: bool = False,
    alone: Mapping[str, float] | None = None,
    **measuring: Any,
) -> Groups:
    """Which tasks to train together: measures affinities in one training run, and groups by them.

    Args:
        source: A compiled `MultiTaskModel` of all tasks, which is left as it is; or an `Affinity`.
        data: What the model is trained on, as in `task_affinity`.
        y: Labels by task name, where `data` is inputs.
        max_groups: How many groups there may be, as `groups` of `group_tasks`.
        overlap: As in `group_tasks`.
        alone: As in `group_tasks`.
        **measuring: `epochs`, `batch_size`, `every`, `learning_rate`, `seed` of `task_affinity`.

    Raises:
        TypeError: If an `Affinity` comes with data, or a model without.
        ValueError: As `task_affinity` and `group_tasks`.
    """
    measured = isinstance(source, Affinity)
    if measured and (data is not None or measuring):
        raise TypeError("`suggest_groups` came with an Affinity and data; an Affinity needs none.")
    if not measured and data is None:
        raise TypeError(
            f"`suggest_groups` came with a {type(source).__name__} and no data; expected the data "
            "to train it on, or an Affinity."
        )
    affinity = source if measured else task_affinity(source, data, y, **measuring)
    return group_tasks(affinity, max_groups, overlap=overlap, alone=alone)


def known_affinity(affinity: Any) -> Affinity:
    """The affinity, if that of each pair is known.

    Raises:
        TypeError: If it is no `Affinity`.
        ValueError: If the affinity of a pair is not known.
    """
    if not isinstance(affinity, Affinity):
        raise TypeError(
            f"`affinity` came as a {type(affinity).__name__}; expected an Affinity: "
            "Affinity(matrix, task_names)."
        )
    unknown = np.argwhere(~np.isfinite(affinity.matrix) & ~np.eye(len(affinity.matrix), dtype=bool))
    if len(unknown):
        one, other = (affinity.task_names[i] for i in unknown[0])
        raise ValueError(
            f"The affinity of {one!r} onto {other!r} is not known; expected a number for each pair: "
            "measure on batches that have labels of both."
        )
    return affinity


def _alone(affinity: Affinity, given: Mapping[str, float] | None) -> dict[str, float]:
    refuse_unknown("alone", given or {}, affinity.task_names)
    scores = {name: float((given or {}).get(name, 0.0)) for name in affinity.task_names}
    wrong = [name for name, score in scores.items() if not np.isfinite(score)]
    if wrong:
        raise ValueError(f"`alone` of {wrong} is not finite; expected numbers.")
    return scores
