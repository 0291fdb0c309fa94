"""Branched: a tree of layers, which tasks share until they part."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl._names import refuse_unknown
from keras_mtl.sharing._layered import Layered
from keras_mtl.sharing._towers import Towers, widened

Partition = list[list[str]]


@keras.saving.register_keras_serializable("keras_mtl")
class Branched(Layered):
    """A tree of dense layers: in each layer the tasks of one group share, and groups part for good.

    `groups` tells it layer by layer, from the encoder to the heads. Of the tasks a, b and c,

        [[["a", "b", "c"]], [["a", "b"], ["c"]]]

    share the first layer; of the second one is for a and b, one for c. With all tasks in one group
    it is one stack, with each task in a group of its own a tower a task. `LTB.tree()` and
    `keras_mtl.evaluation.suggest_branches` find such groups.

    `(B, ..., d)` to `(B, ..., units[-1])` for each task.

    Vandenhende, Georgoulis, De Brabandere and Van Gool, "Branched Multi-Task Networks: Deciding What
    Layers To Share", BMVC 2020, arXiv:1904.02920.

    Args:
        groups: For each layer a partition of the tasks, each at least as fine as the one before. If
            none is given, all tasks share every layer but the last, which each has to itself.
        units: Width of each layer.
        activation: Of every layer.

    Raises:
        TypeError: If a partition is not a list of lists of names.
        ValueError: If there is not a partition for each layer; a group is empty, a task is in two
            groups of a layer or left out of one, or tasks that had parted share a layer again; if a
            width is not positive; or, once the tasks are known, if one is unknown or left out.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Sequence[str]]] = (),
        units: Sequence[int] | int = (64, 64),
        activation: str = "relu",
        **kwargs: Any,
    ):
        super().__init__(units, activation, **kwargs)
        self.groups = [_partition(layer, of_layer) for layer, of_layer in enumerate(groups)]
        if self.groups and len(self.groups) != len(self.units):
            raise ValueError(
                f"`groups` of sharing.Branched has partitions for {len(self.groups)} layers, but "
                f"`units` gives {len(self.units)} layers {self.units}; expected one partition a layer."
            )
        for layer in range(1, len(self.groups)):
            _check_nested(layer, self.groups[layer - 1], self.groups[layer])

    def tree(self) -> list[Partition]:
        """The partition of the tasks in each layer, as `groups` or by default."""
        if self.groups:
            return _plain(self.groups)
        together, apart = [list(self.task_names)], [[name] for name in self.task_names]
        return [*([together] * (len(self.units) - 1)), apart]

    def build(self, input_shape: Any) -> None:
        if self.groups:
            self._check_tasks()
        self.levels = []
        for i, (partition, width) in enumerate(zip(self.tree(), self.units, strict=True)):
            level = Towers(
                [f"group_{j}" for j in range(len(partition))],
                width,
                activation=self.activation,
                name=f"dense_{i}",
                dtype=self.dtype_policy,
            )
            level.build(input_shape)
            self.levels.append(level)
            input_shape = widened(input_shape, width)
        self.built = True

    def call(self, features: Any) -> dict[str, Any]:
        of_task = dict.fromkeys(self.task_names, features)
        for partition, level in zip(self.tree(), self.levels, strict=True):
            # Tasks of a group have been together in all layers before: any of them speaks for it.
            made = level([of_task[group[0]] for group in partition])
            for group, hidden in zip(partition, made, strict=True):
                of_task.update(dict.fromkeys(group, hidden))
        return of_task

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": _plain(self.groups)}

    def _check_tasks(self) -> None:
        # All layers are of the same tasks: they are nested.
        named = [task for group in self.groups[0] for task in group]
        refuse_unknown("groups", named, self.task_names)
        missing = [task for task in self.task_names if task not in named]
        if missing:
            raise ValueError(
                f"`groups` of sharing.Branched leaves out {missing}; expected each of the tasks "
                f"{list(self.task_names)} in one group of every layer."
            )


def _partition(layer: int, groups: Any) -> Partition:
    if isinstance(groups, str) or any(isinstance(group, str) for group in groups):
        raise TypeError(
            f"`groups` of sharing.Branched has {groups!r} for layer {layer}; expected a partition of "
            "the tasks for each layer, a list of lists of names such as [['a', 'b'], ['c']]."
        )
    found = [list(group) for group in groups]
    named = [task for group in found for task in group]
    twice = sorted({task for task in named if named.count(task) > 1})
    if twice:
        raise ValueError(
            f"`groups` of sharing.Branched has {twice} more than once in layer {layer}, {found}; "
            "expected each task in one group of a layer."
        )
    if not found or not all(found):
        raise ValueError(
            f"`groups` of sharing.Branched has a group without tasks in layer {layer}, {found}; leave "
            "it out."
        )
    return found


def _check_nested(layer: int, before: Partition, groups: Partition) -> None:
    place = {task: i for i, group in enumerate(before) for task in group}
    named = {task for group in groups for task in group}
    if named != set(place):
        raise ValueError(
            f"`groups` of sharing.Branched names the tasks {sorted(named)} in layer {layer} and "
            f"{sorted(place)} in layer {layer - 1}; expected the same tasks in every layer."
        )
    for group in groups:
        if len({place[task] for task in group}) > 1:
            raise ValueError(
                f"`groups` of sharing.Branched has {group} together in layer {layer}, but apart in "
                f"layer {layer - 1}, {before}; branches part for good, so let them part later or not "
                "meet again."
            )


def _plain(partitions: Any) -> list[Partition]:
    return [[list(group) for group in partition] for partition in partitions]
