"""The gradient engine: the only file that knows `GradientTape`.

A step of fixed weights is one backward pass of their sum (`backward`). A step that a balancer weighs
is one forward pass and as many backward passes as it needs (`balanced`): a loss balancer needs one;
the others need the K gradients of what the tasks share, found as what two or more losses reach.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_mtl._combination import Terms, Whole, combined, held_weights, kept_state, restore
from keras_mtl._replicas import replicas


def backward(
    objective: Callable[[], tuple[Any, Any]], variables: Sequence[keras.Variable]
) -> tuple[list[Any], Any]:
    """Runs `objective` forward and backward once.

    Args:
        objective: Returns the scalar to minimise and whatever else the caller wants back.
        variables: What to differentiate by.

    Returns:
        The gradients, `None` where the objective does not reach a variable, and the rest of what
        `objective` returned.
    """
    with tf.GradientTape() as tape:
        scalar, rest = objective()
    return tape.gradient(scalar, [v.value for v in variables]), rest


def balanced(
    objectives: Sequence[Callable[[Any], Terms]],
    trunk: Callable[[], Any],
    variables: Sequence[keras.Variable],
    balancer: Any,
    scale: Any,
) -> tuple[list[Any], list[Any]]:
    """Runs the model forward once and combines its K gradients as `balancer` says.

    A variable that two or more losses reach gets the balanced gradient; one that a single loss
    reaches keeps its own.

    Args:
        objectives: One for each part of the batch that the balancer tells apart, most often one. Each
            runs the model, from what `trunk` returned if that is not None.
        trunk: Makes the shared representation, a list of tensors; run if its gradients are balanced.
        variables: What to differentiate by, the balancer's own among them.
        balancer: A `keras_mtl.balancing.Balancer`.
        scale: What the losses are scaled by in mixed precision; the gradients returned are, too.

    Returns:
        The gradients, `None` where no loss reaches a variable, and `Terms.rest` of each part.
    """
    if balancer.needs == "losses":
        return _one_pass(objectives[0], variables, balancer, scale)
    if balancer.gradients == "features":
        return _k_heads(objectives[0], trunk, variables, balancer, scale)
    return _k_passes(objectives, variables, balancer, scale)


def _one_pass(
    objective: Any, variables: Any, balancer: Any, scale: Any
) -> tuple[list[Any], list[Any]]:
    with tf.GradientTape() as tape:
        terms = objective(None)
    losses, present, _ = Whole.of([terms])
    own = balancer.trainable_variables
    state = kept_state(balancer)
    with tf.GradientTape() as small:
        small.watch(losses)
        stated = balancer.objective(losses, present)
    weights, own_gradients = small.gradient(stated, [losses, [v.value for v in own]])
    weights = ops.zeros_like(losses) if weights is None else ops.where(present, weights, 0.0)
    balancer.last_weights.assign(weights)
    restore(state, unless=ops.all(ops.isfinite(losses)))
    targets = [*terms.losses, *_given(terms.extra)]
    seeds = [
        *ops.unstack(weights * scale, len(terms.losses)),
        *(scale for _ in _given(terms.extra)),
    ]
    gradients = tape.gradient(targets, [v.value for v in variables], output_gradients=seeds)
    # Every replica has the whole of the balancer's own gradient, and the optimizer adds them up.
    share = scale / replicas()
    of_balancer = {
        id(v): None if g is None else g * share for v, g in zip(own, own_gradients, strict=True)
    }
    return [of_balancer.get(id(v), g) for v, g in zip(variables, gradients, strict=True)], [
        terms.rest
    ]


def _k_passes(
    objectives: Any, variables: Any, balancer: Any, scale: Any
) -> tuple[list[Any], list[Any]]:
    values = [v.value for v in variables]
    with tf.GradientTape(persistent=True) as tape:
        parts = [objective(None) for objective in objectives]
        whole = Whole.of(parts)
        targets = [
            loss
            for part in parts
            for loss in balancer.differentiated(part.losses, whole.losses, whole.present)
        ]
    rows = list(
        zip(*(tape.gradient(t, values, output_gradients=scale) for t in targets), strict=True)
    )
    k, own = len(targets) // len(parts), {id(v) for v in balancer.trainable_variables}
    shared = [
        i
        for i, row in enumerate(rows)
        if id(variables[i]) not in own and sum(g is not None for g in row[:k]) > 1
    ]
    names = [variables[i].path for i in shared]

    def balance() -> list[Any]:
        found = rows if balancer.every == 1 else _rows(tape, targets, values, shared, scale)
        return combined(balancer, [_stack(found[i]) for i in shared], names, whole, scale)

    def hold() -> list[Any]:
        seeds = ops.unstack(held_weights(balancer, whole) * scale, k)
        found = tape.gradient(targets, [values[i] for i in shared], output_gradients=seeds)
        return [_dense(g) for g in found]

    found = balance() if balancer.every == 1 else _now_and_then(balancer, balance, hold)
    at = dict(zip(shared, found, strict=True))
    if len(parts) > 1:
        # Each part's loss is a mean over its own labels; heads learn from the mean over all.
        shares = ops.unstack(ops.reshape(whole.shares, (-1,)), len(targets))
        rows = [
            tuple(None if g is None else _dense(g) * s for g, s in zip(r, shares, strict=True))
            for r in rows
        ]
    gradients = [at[i] if i in at else _single(row) for i, row in enumerate(rows)]
    extra = [part.extra for part in parts if part.extra is not None]
    if extra:
        seeds = [scale / len(parts)] * len(extra)
        more = tape.gradient(extra, values, output_gradients=seeds)
        gradients = [_add(g, m) for g, m in zip(gradients, more, strict=True)]
    return gradients, [part.rest for part in parts]


def _rows(tape: Any, targets: Any, values: Any, shared: Any, scale: Any) -> dict[int, Any]:
    """The gradients of each target by the shared variables alone."""
    found = (tape.gradient(t, [values[i] for i in shared], output_gradients=scale) for t in targets)
    return dict(zip(shared, zip(*found, strict=True), strict=True))


def _now_and_then(balancer: Any, balance: Any, hold: Any) -> Any:
    if replicas() > 1:
        raise ValueError(
            f"{type(balancer).__name__} came with `every={balancer.every}`, but gradients of "
            f"{replicas()} replicas can only be balanced at every step; use every=1."
        )
    return tf.cond(balancer.due(), balance, hold)


def _k_heads(
    objective: Any, trunk: Any, variables: Any, balancer: Any, scale: Any
) -> tuple[list[Any], list[Any]]:
    values = [v.value for v in variables]
    with tf.GradientTape() as below:
        handed = trunk()
        # One that is handed to several tasks is one feature. Masks are features of their own.
        one_each = {id(tensor): tf.identity(tensor) for tensor in handed}
        features = [f for f in one_each.values() if f.dtype.is_floating]
        with tf.GradientTape(persistent=True) as above:
            above.watch(features)
            terms = objective([one_each[id(tensor)] for tensor in handed])
            whole = Whole.of([terms])
            targets = balancer.differentiated(terms.losses, whole.losses, whole.present)
    by_task = [above.gradient(t, [*features, *values], output_gradients=scale) for t in targets]
    rows = list(zip(*by_task, strict=True))
    of_features, of_variables = rows[: len(features)], rows[len(features) :]
    if len(by_task) > 1 and all(sum(g is not None for g in row) < 2 for row in of_features):
        raise ValueError(
            "gradients='features' balances what the tasks share, but each reads features of its own; "
            "use gradients='parameters'."
        )
    stacks = [
        _stack([_zeros(g, f) for g in row]) for row, f in zip(of_features, features, strict=True)
    ]
    seeds = combined(balancer, stacks, [], whole, scale, reduce=False)
    seeds = [ops.cast(seed, f.dtype) for seed, f in zip(seeds, features, strict=True)]
    targets = [*features, *_given(terms.extra)]
    down = below.gradient(
        targets, values, output_gradients=[*seeds, *(scale for _ in _given(terms.extra))]
    )
    gradients = [_add(g, _single(row)) for g, row in zip(down, of_variables, strict=True)]
    return gradients, [terms.rest]


def _stack(row: Sequence[Any]) -> Any:
    there = next(g for g in row if g is not None)
    return ops.stack([_dense(_zeros(g, there)) for g in row])


def _zeros(gradient: Any, like: Any) -> Any:
    return ops.zeros_like(_dense(like)) if gradient is None else gradient


def _dense(gradient: Any) -> Any:
    """The rows of an embedding that a batch has read, as a whole table."""
    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient


def _single(row: Sequence[Any]) -> Any:
    """The gradient of a variable that one loss reaches, or of several that are added up."""
    total = None
    for gradient in row:
        total = _add(total, gradient)
    return total


def _add(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return _dense(one) + _dense(other)


def _given(value: Any) -> list[Any]:
    return [] if value is None else [value]


def apply(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Any],
    variables: Sequence[keras.Variable],
    multipliers: Mapping[str, float],
) -> None:
    """Takes one optimizer step; variables named in `multipliers` go only that part of the way.

    Scaling the step rather than the gradient is exact for every optimizer, also for those that are
    blind to the scale of a gradient, such as Adam.

    Args:
        multipliers: Learning-rate multiplier by variable path; 1 where a path is not named.
    """
    before = [
        (v, multipliers[v.path], ops.copy(v.value)) for v in variables if v.path in multipliers
    ]
    # A task that no label of this batch belongs to leaves its own variables where they are.
    reached = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
    optimizer.apply([g for g, _ in reached], [v for _, v in reached])
    for variable, multiplier, old in before:
        step = ops.cast(multiplier, variable.dtype) * (variable.value - old)
        variable.assign(old + step)
