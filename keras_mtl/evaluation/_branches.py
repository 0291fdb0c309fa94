"""A tree of layers for tasks, and what it costs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl._names import refuse_unknown
from keras_mtl.evaluation._svg import write_svg
from keras_mtl.evaluation._table import text_table
from keras_mtl.evaluation._tree_picture import tree_picture
from keras_mtl.evaluation._trees import WAYS, Partition, cost, numbered
from keras_mtl.evaluation.affinity import Affinity
from keras_mtl.evaluation.grouping import known_affinity
from keras_mtl.evaluation.report import write_json


class Branches(Sequence):
    """A tree of layers for tasks, and what it costs; reads as a list of partitions, one a layer.

    What a layer costs is the sum of the dissimilarities, 1 - affinity, of all pairs of tasks that
    share it. `sharing.Branched(branches.groups, units=...)` has these layers.

    Args:
        affinities: How alike the tasks are in each layer, by layer, from the first on. Of a pair that
            is not alike both ways the mean counts.
        groups: For each layer a partition of the tasks, each at least as fine as the one before.
        weights: What each layer counts; 1 each, if not given.
        within: "sum", as above; or "max": the mean over groups of the greatest dissimilarity in one.
        made_by: How they were found, for whoever reads it.

    Attributes:
        affinities, groups, weights, within, made_by: As given, in full.
        costs: What each layer costs, by layer, before weights.

    Raises:
        TypeError: If the affinities are not `{layer: Affinity}`.
        ValueError: If layers are not of the same tasks, the affinity of a pair is not known, weights
            are not as many as layers or negative, `within` is unknown, or the groups are no such
            partitions.

    >>> near = Affinity([[1, 0.9, 0.5], [0.9, 1, 0.5], [0.5, 0.5, 1]], ["a", "b", "c"])
    >>> far = Affinity([[1, 0.8, 0.0], [0.8, 1, 0.0], [0.0, 0.0, 1]], ["a", "b", "c"])
    >>> together, apart = [["a", "b", "c"]], [["a", "b"], ["c"]]
    >>> print(Branches({"first": near, "second": far}, [together, apart]))
    layer   groups    dissimilarity
    -------------------------------
    first   a, b, c            1.10
    second  a, b | c           0.20
    3 nodes, dissimilarity 1.30.
    """

    def __init__(
        self,
        affinities: Mapping[str, Affinity],
        groups: Sequence[Sequence[Sequence[str]]],
        weights: Sequence[float] | None = None,
        within: str = "sum",
        made_by: str = "",
    ):
        self.affinities = dict(affinities)
        self.groups = [[list(group) for group in partition] for partition in groups]
        self.weights = weights_of(weights, len(self.affinities))
        self.within = within
        self.made_by = made_by
        apart = dissimilarities_of(self.affinities, within)
        found = self._labels()
        self.costs = {
            layer: cost(matrix, labels, within)
            for layer, matrix, labels in zip(self.affinities, apart, found, strict=True)
        }

    @property
    def task_names(self) -> list[str]:
        """The K tasks."""
        return next(iter(self.affinities.values())).task_names

    @property
    def nodes(self) -> int:
        """How many groups there are in all layers together."""
        return sum(len(partition) for partition in self.groups)

    @property
    def cost(self) -> float:
        """The sum over layers of what each costs times what it weighs."""
        return float(np.dot(self.weights, list(self.costs.values())))

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, i: Any) -> Any:
        return self.groups[i]

    def __str__(self) -> str:
        rows = [
            [layer, " | ".join(", ".join(group) for group in partition), f"{of_layer:.2f}"]
            for (layer, of_layer), partition in zip(self.costs.items(), self.groups, strict=True)
        ]
        return "\n".join([text_table(["layer", "groups", "dissimilarity"], rows), self._told()])

    def to_dict(self) -> dict[str, Any]:
        """Everything in it as plain Python."""
        return {
            "groups": self.groups,
            "costs": self.costs,
            "cost": self.cost,
            "nodes": self.nodes,
            "weights": self.weights,
            "within": self.within,
            "made_by": self.made_by,
            "affinities": {layer: found.to_dict() for layer, found in self.affinities.items()},
        }

    def to_json(self, path: Any) -> Any:
        """Writes `to_dict` as a JSON file, whole or not at all."""
        return write_json(self.to_dict(), path)

    def draw(self, path: Any) -> Any:
        """Writes the tree as an SVG file that needs nothing else."""
        by_layer = dict(zip(self.affinities, self.groups, strict=True))
        kind = next(iter(self.affinities.values())).kind
        return write_svg(path, tree_picture(by_layer, f"Branches by {kind}", [self._told()]))

    def _told(self) -> str:
        weighed = "" if set(self.weights) == {1.0} else " as layers are weighed"
        told = f"{self.nodes} nodes, dissimilarity {self.cost:.2f}{weighed}"
        return f"{told}; {self.made_by}." if self.made_by else f"{told}."

    def _labels(self) -> list[Partition]:
        """The groups in numbers, or what is wrong with them."""
        names, layers = self.task_names, list(self.affinities)
        if len(self.groups) != len(layers):
            raise ValueError(
                f"`groups` has {len(self.groups)} partitions, but there are {len(layers)} layers "
                f"{layers}; expected one a layer."
            )
        found: list[Partition] = []
        for layer, partition in zip(layers, self.groups, strict=True):
            refuse_unknown("groups", [task for group in partition for task in group], names)
            of_task = {task: i for i, group in enumerate(partition) for task in group}
            if (
                len(of_task) < len(names)
                or sum(map(len, partition)) > len(names)
                or [] in partition
            ):
                raise ValueError(
                    f"`groups` has {partition} for layer {layer!r}; expected each of the tasks {names} "
                    "in one group."
                )
            found.append(numbered([of_task[name] for name in names]))
            # As fine as before, if who shares this layer has shared the one before.
            if len(set(zip(found[-1], *found[-2:-1], strict=True))) > len(partition):
                raise ValueError(
                    f"`groups` has {partition} for layer {layer!r} after {self.groups[len(found) - 2]}; "
                    "expected tasks that have parted to stay apart."
                )
        return found


def dissimilarities_of(affinities: Any, within: str) -> np.ndarray:
    """1 - affinity, `(D, K, K)`, alike both ways and 0 for a task and itself."""
    if within not in WAYS:
        raise ValueError(f"`within` is {within!r}; expected one of {list(WAYS)}.")
    if not isinstance(affinities, Mapping) or not affinities:
        raise TypeError(
            f"`affinities` came as {affinities!r}; expected {{layer: Affinity}} with a layer or more."
        )
    found = [known_affinity(affinity) for affinity in affinities.values()]
    names = found[0].task_names
    for layer, affinity in zip(affinities, found, strict=True):
        if affinity.task_names != names:
            raise ValueError(
                f"`affinities` of layer {layer!r} are of the tasks {affinity.task_names}, those of the "
                f"first layer of {names}; expected the same tasks in the same order."
            )
    apart = 1 - np.stack([(a.matrix + a.matrix.T) / 2 for a in found])
    apart[:, range(len(names)), range(len(names))] = 0.0
    return apart


def weights_of(given: Sequence[float] | None, layers: int) -> list[float]:
    """What each layer counts, 1 if not given."""
    weights = [1.0] * layers if given is None else [float(w) for w in given]
    if len(weights) != layers or not all(0 <= w < float("inf") for w in weights):
        raise ValueError(
            f"`weights` came as {given!r}; expected {layers} numbers, one a layer, none negative."
        )
    return weights
