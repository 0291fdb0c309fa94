"""The tree of tasks that costs least: which share a layer, from all together to all apart.

A partition of K tasks is a tuple of K labels: tasks of a group have the same, and groups are numbered
in the order of their first tasks, so that a partition has one tuple. A tree is a partition for each of
D layers, each at least as fine as the one before.
"""

import functools
from collections.abc import Iterator, Sequence

import numpy as np

EXACT_UP_TO = 8
WAYS = ("sum", "max")

Partition = tuple[int, ...]


def cost(dissimilarity: np.ndarray, partition: Partition, within: str) -> float:
    """What it costs that the tasks of each group share a layer.

    Args:
        dissimilarity: `(K, K)`, symmetric, 0 on the diagonal.
        partition: Of the tasks.
        within: "sum", the sum of the dissimilarities of all pairs that share; or "max", the mean over
            groups of the greatest dissimilarity in a group.
    """
    return _scaled(np.diag(_blocks(dissimilarity, partition, within)).sum(), partition, within)


def best_tree(dissimilarity: np.ndarray, nodes: int, within: str) -> tuple[list[Partition], int]:
    """The tree of all that costs least, and how many steps from a layer to the next were looked at.

    By dynamic programming over layers: of all trees that end at a partition and have so many nodes,
    the best is known from those of the layer before. Of trees that cost the same the one of the
    fewest nodes is taken.

    Args:
        dissimilarity: `(D, K, K)`, each layer's times what the layer weighs.
        nodes: How many groups there may be in all layers together, D at the least.
        within: As in `cost`.
    """
    depth, k, _ = dissimilarity.shape
    every = list(partitions(k))
    place = {partition: i for i, partition in enumerate(every)}
    coarser = [np.array([place[c] for c in coarsenings(partition)]) for partition in every]
    sizes = [max(partition) + 1 for partition in every]
    costs = [[cost(layer, partition, within) for partition in every] for layer in dissimilarity]
    # By partition of the last layer and number of nodes so far; before the first layer nothing.
    best = np.full((len(every), nodes + 1), np.inf)
    best[place[(0,) * k], 0] = 0.0
    chosen = []
    for layer in range(depth):
        before, best = best, np.full_like(best, np.inf)
        came = np.zeros(best.shape, int)
        for i, size in enumerate(sizes):
            from_coarser = before[coarser[i], : max(nodes + 1 - size, 0)]
            came[i, size:] = coarser[i][from_coarser.argmin(axis=0)]
            best[i, size:] = from_coarser.min(axis=0) + costs[layer][i]
        chosen.append(came)
    least = best.min(axis=0)
    many = int(np.argmax(least <= least.min() + _slack(least.min())))
    last = int(best[:, many].argmin())
    found = []
    for came in reversed(chosen):
        found.append(every[last])
        last, many = int(came[last, many]), many - sizes[last]
    return found[::-1], depth * sum(map(len, coarser))


def good_tree(
    dissimilarity: np.ndarray, nodes: int, within: str, beam: int
) -> tuple[list[Partition], int]:
    """A good tree, and how many partitions were looked at: a beam search from the last layer to the first.

    Layer by layer groups become one, the two that cost the least by it in this layer and all before,
    in which they stay one; of the trees so far that have as many nodes the `beam` best go on.

    Args:
        dissimilarity: As in `best_tree`.
        nodes: As in `best_tree`.
        within: As in `cost`.
        beam: How many go on.
    """
    depth, k, _ = dissimilarity.shape
    looked = 0
    # By number of nodes: the cost so far, and the partitions so far, from the last layer on.
    kept: dict[int, list[tuple[float, list[Partition]]]] = {0: [(0.0, [tuple(range(k))])]}
    for layer in reversed(range(depth)):
        together = dissimilarity[: layer + 1].sum(axis=0)
        found: dict[int, dict[Partition, tuple[float, list[Partition]]]] = {}
        merged: dict[Partition, list[tuple[Partition, float]]] = {}
        for used, states in kept.items():
            for so_far, tree in states:
                if tree[-1] not in merged:
                    ways = list(_merges(together, tree[-1], within, beam))
                    merged[tree[-1]] = [(p, cost(dissimilarity[layer], p, within)) for p in ways]
                    looked += len(ways)
                for partition, own in merged[tree[-1]]:
                    count = used + max(partition) + 1
                    # Each layer before has a node at least.
                    if count + layer > nodes:
                        continue
                    others = found.setdefault(count, {})
                    if partition not in others or so_far + own < others[partition][0]:
                        others[partition] = (so_far + own, [*tree, partition])
        kept = {n: sorted(of_n.values())[:beam] for n, of_n in found.items()}
    least = min(of_n[0][0] for of_n in kept.values())
    fewest = min(n for n, of_n in kept.items() if of_n[0][0] <= least + _slack(least))
    return kept[fewest][0][1][:0:-1], looked


def partitions(k: int) -> Iterator[Partition]:
    """Every partition of k tasks; Bell's number of them.

    >>> [len(list(partitions(k))) for k in (1, 2, 3, 4, 5)]
    [1, 2, 5, 15, 52]
    """
    if k == 0:
        yield ()
        return
    for fewer in partitions(k - 1):
        for label in range(max(fewer, default=-1) + 2):
            yield (*fewer, label)


def coarsenings(partition: Partition) -> Iterator[Partition]:
    """The partition itself, and every one in which some of its groups are one.

    >>> list(coarsenings((0, 1, 0)))
    [(0, 0, 0), (0, 1, 0)]
    """
    for merged in _partitions_of(max(partition) + 1):
        yield tuple(merged[label] for label in partition)


def numbered(labels: Sequence[int]) -> Partition:
    """The partition that labels stand for, whatever numbers they are.

    >>> numbered([7, 2, 7])
    (0, 1, 0)
    """
    first = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    return tuple(first[label] for label in labels)


@functools.cache
def _partitions_of(k: int) -> list[Partition]:
    return list(partitions(k))


def _merges(
    dissimilarity: np.ndarray, partition: Partition, within: str, beam: int
) -> Iterator[Partition]:
    """The partition, then for each smaller number of groups the best that merging two leads to."""
    level = [partition]
    while True:
        yield from level
        groups = max(level[0]) + 1
        if groups == 1:
            return
        found: dict[Partition, float] = {}
        for tried in level:
            blocks = _blocks(dissimilarity, tried, within)
            own = np.diag(blocks)
            one, other = np.triu_indices(groups, 1)
            parts = [own[one], own[other], blocks[one, other], blocks[other, one]]
            total = own.sum() - own[one] - own[other] + _over(within).reduce(parts)
            for i in np.argsort(total, kind="stable")[:beam]:
                labels = [one[i] if label == other[i] else label for label in tried]
                found[numbered(labels)] = float(total[i])
        # Of as many groups each, so that their totals are costs.
        level = sorted(found, key=lambda p: found[p])[:beam]


def _blocks(dissimilarity: np.ndarray, partition: Partition, within: str) -> np.ndarray:
    """The greatest dissimilarity between any two groups, or the sum: `(K, K)` to `(G, G)`."""
    order = np.argsort(partition, kind="stable")
    starts = np.searchsorted(np.array(partition)[order], np.arange(max(partition) + 1))
    over = _over(within)
    ordered = dissimilarity[np.ix_(order, order)]
    return over.reduceat(over.reduceat(ordered, starts, axis=0), starts, axis=1)


def _over(within: str) -> np.ufunc:
    return np.maximum if within == "max" else np.add


def _scaled(total: float, partition: Partition, within: str) -> float:
    # Each pair is in the sum twice.
    return float(total / (max(partition) + 1 if within == "max" else 2))


def _slack(value: float) -> float:
    """What is rounding and not a gain."""
    return 1e-12 * max(1.0, abs(value))
