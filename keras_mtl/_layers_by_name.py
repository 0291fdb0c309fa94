"""Layers by what people call them: "shared", a task, a layer's name, its path, or a pattern."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import keras

from keras_mtl._names import nearest

_SHOWN = 24


class Place(NamedTuple):
    """A layer and where it is in a model.

    Attributes:
        path: Its name after those of the layers that hold it, such as "image_encoder/trunk/dense".
        layer: The layer.
        above: The layers that hold it, the outermost first.
    """

    path: str
    layer: Any
    above: tuple[Any, ...]


def places(model: Any) -> list[Place]:
    """Every layer of a model, at any depth, each after those that hold it."""
    found: list[Place] = []
    _visit(model.layers, "", (), found)
    return found


def select(model: Any, what: str | Iterable[str], argument: str) -> list[Place]:
    """The layers that these names stand for.

    Args:
        model: A `MultiTaskModel`.
        what: "shared", a task's name for its own layers, a layer's name, the end of its path, or a
            pattern of those with `*`, `?` and `[...]`, none of which reaches over a "/"; or several.
        argument: Where the names were given, for the message.

    Raises:
        TypeError: If a name is no string.
        ValueError: If a name stands for nothing that has weights, or for a part and a layer.
    """
    every = places(model)
    names = [what] if isinstance(what, str) else list(what)
    if not names:
        raise ValueError(f"`{argument}` is empty; expected the name of a layer or of a task.")
    found = [place for name in names for place in named(model, name, every, argument)]
    return list({id(place.layer): place for place in found}.values())


def named(model: Any, name: str, every: Sequence[Place], argument: str) -> list[Place]:
    """Those of `every` layer of a model that one name stands for; raises as `select` does."""
    if not isinstance(name, str):
        raise TypeError(
            f"`{argument}` holds {name!r} of type {type(name).__name__}; expected names of layers or "
            "of tasks."
        )
    found = [place for place in every if _fits(name, place.path)]
    if is_part(model, name):
        own = {id(layer) for layer in model.layers_of(name)}
        other = [place.path for place in found if not place.above and id(place.layer) not in own]
        if other or (name == "shared" and name in model.task_names):
            raise ValueError(
                f"`{argument}` names {name!r}, which is "
                + ("what tasks share" if name == "shared" else "a task")
                + f" and also {'a layer' if other else 'a task'}; rename the one or the other."
            )
        found = [place for place in every if not place.above and id(place.layer) in own]
    if not any(place.layer.weights for place in found):
        known = [place.path for place in every if place.layer.weights]
        near = nearest(name, [*model.task_names, *known, *(p.split("/")[-1] for p in known)])
        shown = known if len(known) <= _SHOWN else [*known[:_SHOWN], "..."]
        raise ValueError(
            f"`{argument}` names task {name!r} or layers like it, but the tasks are "
            f"{model.task_names} and the layers with weights {shown}, besides 'shared' for what is "
            "of no single task" + (f"; did you mean {near!r}?" if near else ".")
        )
    return found


def is_part(model: Any, name: str) -> bool:
    """Whether a name stands for what tasks share, or for what a task has to itself."""
    return name == "shared" or name in model.task_names


def multipliers_of(model: Any, given: Mapping[str, float], argument: str) -> dict[int, float]:
    """For each variable (by `id`) the number of the name that tells most about it.

    A layer inside of another tells more than the other, and any layer more than a part; of names for
    one layer a plain one tells more than a pattern, and a longer path more than a shorter one.

    Raises:
        ValueError: If a name stands for nothing, or two that tell as much disagree.
    """
    every = places(model)
    told: dict[int, list[tuple[Any, str, float, str]]] = {}
    for name, number in given.items():
        for place in named(model, name, every, argument):
            rank = (0, True, 0)
            if not is_part(model, name):
                plain = not any(sign in name for sign in "*?[")
                rank = (place.path.count("/") + 1, plain, name.count("/"))
            for variable in place.layer.weights:
                told.setdefault(id(variable), []).append((rank, name, float(number), place.path))
    found = {}
    for key, candidates in told.items():
        best = max(rank for rank, *_ in candidates)
        names = {name: number for rank, name, number, _ in candidates if rank == best}
        if len(set(names.values())) > 1:
            path = next(path for rank, _, _, path in candidates if rank == best)
            raise ValueError(
                f"`{argument}` says {names} of the layer {path!r}; name that layer itself, so that it "
                "is clear which number it takes."
            )
        found[key] = next(iter(names.values()))
    return found


def _visit(layers: Iterable[Any], path: str, above: tuple[Any, ...], found: list[Place]) -> None:
    taken: dict[str, int] = {}
    for layer in layers:
        if isinstance(layer, keras.layers.InputLayer) or any(layer is x for x in above):
            continue
        count = taken[layer.name] = taken.get(layer.name, 0) + 1
        # Layers of a list may be called the same.
        own = f"{path}{layer.name}" if count == 1 else f"{path}{layer.name}~{count}"
        found.append(Place(own, layer, above))
        inside = layer._flatten_layers(include_self=False, recursive=False)
        _visit(inside, f"{own}/", (*above, layer), found)


def _fits(pattern: str, path: str) -> bool:
    wanted, there = pattern.split("/"), path.split("/")
    last = there[len(there) - len(wanted) :] if len(wanted) <= len(there) else []
    return bool(last) and all(fnmatchcase(x, w) for x, w in zip(last, wanted, strict=True))
