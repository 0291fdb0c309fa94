"""The best way to part tasks into groups, by what each group is worth."""

import numpy as np

EXACT_UP_TO = 12


def worth(
    matrix: np.ndarray, alone: np.ndarray, groups: np.ndarray, overlap: bool
) -> tuple[np.ndarray, np.ndarray]:
    """What each group is worth: over its tasks, the sum of the mean affinity of the others onto it.

    With overlap a group may train further tasks, its helpers, that it does not serve. Of any number
    of helpers the best are those that do the most for the whole group, so that none is missed.

    Args:
        matrix: `(K, K)`: what the task of the row does for that of the column.
        alone: `(K,)`: what a task scores that is trained alone.
        groups: `(n, K)` booleans: the tasks that each group serves, one or more.
        overlap: Whether groups may have helpers.

    Returns:
        The worth of each group, `(n,)`, and its helpers, `(n, K)` booleans.
    """
    matrix = matrix * (1 - np.eye(len(matrix)))
    size = groups.sum(axis=1)
    within = ((groups @ matrix) * groups).sum(axis=1)
    own = np.where(size > 1, within / np.maximum(size - 1, 1), groups @ alone)
    helpers = np.zeros_like(groups)
    if not overlap:
        return own, helpers
    help_of = np.where(groups, -np.inf, groups @ matrix.T)
    order = np.argsort(-help_of, axis=1, kind="stable")
    total = within[:, None] + np.cumsum(np.take_along_axis(help_of, order, axis=1), axis=1)
    count = np.arange(1, len(matrix) + 1)
    means = total / (size[:, None] - 1 + count)
    best = means.argmax(axis=1)
    better = means.max(axis=1) > own + _slack(own)
    chosen = better[:, None] & (count <= best[:, None] + 1)
    np.put_along_axis(helpers, order, chosen, axis=1)
    return np.where(better, means.max(axis=1), own), helpers


def best_partition(
    matrix: np.ndarray, alone: np.ndarray, at_most: int, overlap: bool
) -> tuple[list[list[int]], int]:
    """The best groups of all, and how many ways to split off a group were looked at.

    By dynamic programming over sets of tasks: the best groups of a set are the one that serves its
    first task and the best groups of what is left. (3^K - 1) / 2 splits, whatever the numbers.
    """
    k = len(matrix)
    members = (np.arange(1, 2**k)[:, None] >> np.arange(k) & 1).astype(bool)
    values = np.concatenate([[0.0], worth(matrix, alone, members, overlap)[0]])
    # By set of tasks, as the bits of a number, and by how many groups there may be.
    best = np.full((2**k, at_most + 1), -np.inf)
    best[0] = 0.0
    chosen = np.zeros((2**k, at_most + 1), int)
    subsets = [np.zeros(1, int)]
    looked = 0
    for tasks in range(1, 2**k):
        last, first = 1 << (tasks.bit_length() - 1), tasks & -tasks
        subsets.append(np.concatenate([subsets[tasks ^ last], subsets[tasks ^ last] + last]))
        groups = subsets[tasks ^ first] + first
        totals = values[groups][:, None] + best[tasks ^ groups, :-1]
        best[tasks, 1:] = totals.max(axis=0)
        chosen[tasks, 1:] = groups[totals.argmax(axis=0)]
        looked += len(groups)
    left = 2**k - 1
    # The fewest groups of those that are as good: each is a model to serve.
    many = int(np.argmax(best[left] >= best[left].max() - _slack(best[left].max())))
    found = []
    while left:
        group = int(chosen[left, many])
        found.append([i for i in range(k) if group >> i & 1])
        left, many = left ^ group, many - 1
    return found, looked


def good_partition(
    matrix: np.ndarray, alone: np.ndarray, at_most: int, overlap: bool
) -> tuple[list[list[int]], int]:
    """Good groups, and how many were looked at.

    From every task alone, the two groups that gain the most by it (or lose the least, while there
    are too many) become one; then single tasks change their group while that gains.
    """
    k = len(matrix)
    groups = np.eye(k, dtype=bool)
    looked = 0

    def of(found: np.ndarray) -> np.ndarray:
        nonlocal looked
        looked += len(found)
        return worth(matrix, alone, found, overlap)[0]

    while len(groups) > 1:
        values = of(groups)
        one, other = np.triu_indices(len(groups), 1)
        gains = of(groups[one] | groups[other]) - values[one] - values[other]
        if len(groups) <= at_most and gains.max() <= _slack(values):
            break
        a, b = one[gains.argmax()], other[gains.argmax()]
        groups[a] |= groups[b]
        groups = np.delete(groups, b, axis=0)
    while True:
        # An empty group stands for one that is still to be opened.
        spare = np.zeros((1 if len(groups) < at_most else 0, k), bool)
        groups = np.concatenate([groups[groups.any(axis=1)], spare])
        moves = [(i, to) for i in range(k) for to in range(len(groups)) if not groups[to, i]]
        if not moves:
            break
        task, to = np.array(moves).T
        source = groups[:, task].argmax(axis=0)
        moved = np.eye(k, dtype=bool)[task]

        def total(found: np.ndarray) -> np.ndarray:
            some = found.any(axis=1)
            values = np.zeros(len(found))
            values[some] = of(found[some])
            return values

        before = total(groups)
        gains = total(groups[source] & ~moved) + total(groups[to] | moved)
        gains -= before[source] + before[to]
        if gains.max() <= _slack(before):
            break
        best = gains.argmax()
        groups[source[best], task[best]] = False
        groups[to[best], task[best]] = True
    return [list(np.flatnonzero(group)) for group in groups if group.any()], looked


def _slack(values: np.ndarray) -> float:
    """What is rounding and not a gain."""
    return 1e-12 * max(1.0, float(np.abs(values).max(initial=0.0)))
