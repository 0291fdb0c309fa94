"""Which layers tasks should share: a tree of layers, by how alike the tasks are at each depth."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._names import nearest
from keras_mtl.data import Examples
from keras_mtl.evaluation._branches import Branches, dissimilarities_of, weights_of
from keras_mtl.evaluation._by_input import by_input
from keras_mtl.evaluation._trees import EXACT_UP_TO, best_tree, good_tree
from keras_mtl.evaluation.affinity import Affinity
from keras_mtl.evaluation.similarity import rsa, similarities

_METHODS = ("auto", "exact", "beam")


def branch_tasks(
    affinities: Mapping[str, Affinity],
    nodes: int,
    *,
    weights: Sequence[float] | None = None,
    within: str = "sum",
    method: str = "auto",
    beam: int = 8,
) -> Branches:
    """Finds the tree of layers that keeps unlike tasks apart, with so many nodes at the most.

    Minimises over trees `sum_l w_l C_l`, where C_l is what layer l costs; see `Branches`.

    Vandenhende, Georgoulis, De Brabandere and Van Gool, "Branched Multi-Task Networks: Deciding What
    Layers To Share", BMVC 2020, arXiv:1904.02920, whose cost is that of `within="max"`: it favours
    tasks that are alone, beside one large group. "sum" does not.

    Args:
        affinities: How alike the tasks are in each layer, by layer, from the first on.
        nodes: How many groups there may be in all layers together, which is how much the tree
            weighs: from the number of layers, all shared, to that times the tasks, all apart. Of
            trees that are as good the one of the fewest nodes is taken.
        weights: What each layer counts; 1 each, if not given.
        within: "sum" or "max", as of `Branches`.
        method: "exact" (the best of all, up to 8 tasks), "beam", or "auto": exact where it can be.
        beam: How many trees of each number of nodes the beam search keeps on its way.

    Raises:
        TypeError: If the affinities are not `{layer: Affinity}`.
        ValueError: If there are fewer nodes than layers, or a number, a name or an affinity is not
            as it must be.

    >>> near = Affinity([[1, 0.9, 0.5], [0.9, 1, 0.5], [0.5, 0.5, 1]], ["a", "b", "c"])
    >>> far = Affinity([[1, 0.8, 0.0], [0.8, 1, 0.0], [0.0, 0.0, 1]], ["a", "b", "c"])
    >>> branch_tasks({"first": near, "second": far}, nodes=3).groups
    [[['a', 'b', 'c']], [['a', 'b'], ['c']]]
    """
    apart = dissimilarities_of(affinities, within)
    depth, k, _ = apart.shape
    weighed = apart * np.reshape(weights_of(weights, depth), (-1, 1, 1))
    if method not in _METHODS:
        raise ValueError(f"`method` is {method!r}; expected one of {list(_METHODS)}.")
    if method == "exact" and k > EXACT_UP_TO:
        raise ValueError(
            f"`method` is 'exact', but there are {k} tasks; expected {EXACT_UP_TO} at the most: use "
            "'beam' or 'auto'."
        )
    if int(nodes) != nodes or nodes < depth:
        raise ValueError(
            f"`nodes` is {nodes!r}; expected a whole number of at least {depth}, one for each of the "
            f"layers {list(affinities)}."
        )
    if int(beam) != beam or beam < 1:
        raise ValueError(f"`beam` is {beam!r}; expected a whole number of at least 1.")
    at_most = min(int(nodes), depth * k)
    if method == "exact" or (method == "auto" and k <= EXACT_UP_TO):
        found, looked = best_tree(weighed, at_most, within)
        made_by = f"the best of all trees, {looked:,} steps looked at"
    else:
        found, looked = good_tree(weighed, at_most, within, int(beam))
        made_by = f"found by a beam search, {looked:,} partitions looked at"
    names = next(iter(affinities.values())).task_names
    groups = [
        [[t for t, label in zip(names, p, strict=True) if label == g] for g in range(max(p) + 1)]
        for p in found
    ]
    return Branches(affinities, groups, weights, within, made_by)


def suggest_branches(
    source: Mapping[str, Any],
    data: Any = None,
    layers: Sequence[str] = (),
    *,
    nodes: int,
    measure: Callable[[Any, Any], float] = rsa,
    rows: int = 500,
    **searching: Any,
) -> Branches:
    """Which layers tasks should share: compares single-task models layer by layer, and branches by it.

    Args:
        source: `{task: model}`, a trained model of each task, all of one architecture and best from
            the same first weights; or what they make of the same rows, `{layer: {task: (n, ...)}}`,
            layers from the first on; or `{layer: Affinity}`.
        data: With models: inputs as the models read them, `keras_mtl.data.Examples`, or batches of
            `(inputs, labels)`.
        layers: With models: the names of the layers to compare, from the first on. Each is a layer
            of the tree.
        nodes: How many groups there may be in all layers together, as of `branch_tasks`.
        measure: `rsa`, as in the paper, `cka`, or a function of two representations.
        rows: With models: how many rows are compared at the most, the first ones.
        **searching: `weights`, `within`, `method`, `beam` of `branch_tasks`.

    Raises:
        TypeError: If models come without data or layers, anything else with them, or the source is
            none of these.
        ValueError: If a model has no such layer, and as `similarities` and `branch_tasks`.

    >>> rng = np.random.default_rng(0)
    >>> one, other = rng.normal(size=(2, 20, 4))
    >>> low, high = {"a": one, "b": one, "c": one + other}, {"a": one, "b": one, "c": other}
    >>> suggest_branches({"low": low, "high": high}, nodes=3).groups
    [[['a', 'b', 'c']], [['a', 'b'], ['c']]]
    """
    kinds = {_kind(value) for value in source.values()} if isinstance(source, Mapping) else set()
    if len(kinds) != 1 or None in kinds:
        raise TypeError(
            "`source` of `suggest_branches` must be {task: model}, {layer: {task: representation}} or "
            f"{{layer: Affinity}}, all values of one kind, but came as a {type(source).__name__}"
            + (f" of {sorted({type(v).__name__ for v in source.values()})}." if kinds else ".")
        )
    (kind,) = kinds
    given = [data is not None, len(layers) > 0]
    if given != [kind is keras.Model] * 2:
        raise TypeError(
            f"`suggest_branches` came with {'models' if kind is keras.Model else 'no models'}, "
            f"{'data' if given[0] else 'no data'} and the layers {list(layers)}; models need data and "
            "the names of layers, anything else needs neither."
        )
    if kind is Affinity:
        return branch_tasks(source, nodes, **searching)
    if kind is keras.Model:
        source = _representations(source, data, list(layers), rows)
    found = {layer: similarities(of_layer, measure) for layer, of_layer in source.items()}
    return branch_tasks(found, nodes, **searching)


def _kind(value: Any) -> Any:
    return next((t for t in (keras.Model, Affinity, Mapping) if isinstance(value, t)), None)


def _representations(
    models: Mapping[str, Any], data: Any, layers: list[str], rows: int
) -> dict[str, dict[str, np.ndarray]]:
    """What each layer of each model makes of the first rows: `{layer: {task: (n, ...)}}`."""
    found: dict[str, dict[str, np.ndarray]] = {layer: {} for layer in layers}
    for task, model in models.items():
        names = [layer.name for layer in model.layers]
        for name in layers:
            if name not in names:
                near = nearest(name, names)
                raise ValueError(
                    f"`layers` names {name!r}, but the model of task {task!r} has the layers {names}"
                    + (f"; did you mean {near!r}?" if near else ".")
                )
        inputs = model.input
        if not isinstance(inputs, Mapping):
            inputs = {tensor.name: tensor for tensor in model.inputs}
        probe = keras.Model(inputs, [model.get_layer(name).output for name in layers])
        # Not `predict`, which would trace each model for a few batches.
        made = [
            keras.tree.flatten(
                probe({k: ops.convert_to_tensor(v) for k, v in batch.items()}, training=False)
            )
            for batch in _batches(probe, data, rows)
        ]
        for name, batches in zip(layers, zip(*made, strict=True), strict=True):
            found[name][task] = np.concatenate([ops.convert_to_numpy(b) for b in batches])[:rows]
    return found


def _batches(model: Any, data: Any, rows: int) -> Iterator[dict[str, Any]]:
    """Batches of a model's inputs, by name, with the first rows."""
    if isinstance(data, (Mapping, np.ndarray)):
        batches: Any = [(data,)]
    else:
        batches = data.dataset() if isinstance(data, Examples) else data
    seen = 0
    for inputs, *_ in batches:
        named = by_input(model, inputs)
        yield {name: named[name][:rows] for name in named if name in model.input}
        seen += len(next(iter(named.values())))
        if seen >= rows:
            return
