"""The gradient engine: the only file that knows `GradientTape` and replicas.

A step of fixed weights is one backward pass of their sum (`backward`). A step that a balancer weighs
is one forward pass and as many backward passes as it needs (`balanced`): a loss balancer needs one;
the others need the K gradients of what the tasks share, found as what two or more losses reach.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import ops


class Terms(NamedTuple):
    """What a forward pass hands to a balancer.

    Attributes:
        losses: The K scalar losses, after alpha.
        counts: How many labels each is a mean over, in this replica's batch; 0 if it is absent.
        extra: What is added to the joint loss besides (regularisation), or None.
        rest: Whatever else the caller wants back.
    """

    losses: Sequence[Any]
    counts: Sequence[Any]
    extra: Any
    rest: Any


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
    objective: Callable[[Any], Terms],
    trunk: Callable[[], Any],
    variables: Sequence[keras.Variable],
    balancer: Any,
    scale: Any,
) -> tuple[list[Any], Any]:
    """Runs `objective` forward once and combines its K gradients as `balancer` says.

    A variable that two or more losses reach gets the balanced gradient; one that a single loss
    reaches keeps its own. The Gramian is summed variable by variable and over replicas; its
    solver sees float32 that no loss scale has touched.

    Args:
        objective: Runs the model, from what `trunk` returned if that is not None.
        trunk: Makes the shared representation, a list of tensors; run if its gradients are balanced.
        variables: What to differentiate by, the balancer's own among them.
        balancer: A `keras_mtl.balancing.Balancer`.
        scale: What the losses are scaled by in mixed precision; the gradients returned are, too.

    Returns:
        The gradients, `None` where no loss reaches a variable, and `Terms.rest`.
    """
    if balancer.needs == "losses":
        return _one_pass(objective, variables, balancer, scale)
    if balancer.gradients == "features":
        return _k_heads(objective, trunk, variables, balancer, scale)
    return _k_passes(objective, variables, balancer, scale)


def _one_pass(objective: Any, variables: Any, balancer: Any, scale: Any) -> tuple[list[Any], Any]:
    with tf.GradientTape() as tape:
        terms = objective(None)
    losses, present = _whole(terms)
    own = balancer.trainable_variables
    state = _kept(balancer)
    with tf.GradientTape() as small:
        small.watch(losses)
        stated = balancer.objective(losses, present)
    weights, own_gradients = small.gradient(stated, [losses, [v.value for v in own]])
    weights = ops.zeros_like(losses) if weights is None else ops.where(present, weights, 0.0)
    balancer.last_weights.assign(weights)
    _restore(state, unless=ops.all(ops.isfinite(losses)))
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
    return [
        of_balancer.get(id(v), g) for v, g in zip(variables, gradients, strict=True)
    ], terms.rest


def _k_passes(objective: Any, variables: Any, balancer: Any, scale: Any) -> tuple[list[Any], Any]:
    values = [v.value for v in variables]
    with tf.GradientTape(persistent=True) as tape:
        terms = objective(None)
    by_task = [tape.gradient(loss, values, output_gradients=scale) for loss in terms.losses]
    rows = list(zip(*by_task, strict=True))
    shared = [i for i, row in enumerate(rows) if sum(g is not None for g in row) > 1]
    stacks = [_stack(rows[i]) for i in shared]
    combined = dict(zip(shared, _combine(balancer, stacks, terms, scale), strict=True))
    gradients = [combined[i] if i in combined else _single(row) for i, row in enumerate(rows)]
    if terms.extra is not None:
        more = tape.gradient(terms.extra, values, output_gradients=scale)
        gradients = [_add(g, m) for g, m in zip(gradients, more, strict=True)]
    return gradients, terms.rest


def _k_heads(
    objective: Any, trunk: Any, variables: Any, balancer: Any, scale: Any
) -> tuple[list[Any], Any]:
    values = [v.value for v in variables]
    with tf.GradientTape() as below:
        handed = trunk()
        # One that is handed to several tasks is one feature. Masks are features of their own.
        one_each = {id(tensor): tf.identity(tensor) for tensor in handed}
        features = [f for f in one_each.values() if f.dtype.is_floating]
        with tf.GradientTape(persistent=True) as above:
            above.watch(features)
            terms = objective([one_each[id(tensor)] for tensor in handed])
    by_task = [
        above.gradient(loss, [*features, *values], output_gradients=scale) for loss in terms.losses
    ]
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
    seeds = _combine(balancer, stacks, terms, scale, reduce=False)
    seeds = [ops.cast(seed, f.dtype) for seed, f in zip(seeds, features, strict=True)]
    targets = [*features, *_given(terms.extra)]
    down = below.gradient(
        targets, values, output_gradients=[*seeds, *(scale for _ in _given(terms.extra))]
    )
    return [_add(g, _single(row)) for g, row in zip(down, of_variables, strict=True)], terms.rest


def _combine(
    balancer: Any, stacks: list[Any], terms: Terms, scale: Any, reduce: bool = True
) -> list[Any]:
    """The balanced gradient of each stack `(K, ...)`, as this replica's share of it."""
    losses, present = _whole(terms)
    count = replicas()
    if reduce and count > 1:
        stacks = [sum_over_replicas(stack) for stack in stacks]
    if balancer.needs == "gradients":
        combined = [balancer.combine(stack, present) for stack in stacks]
    else:
        gramian = _gramian(stacks, len(terms.losses)) / (scale * scale)
        if not reduce:
            # Each replica has the features of its own rows.
            gramian = sum_over_replicas(gramian)
        weights = _weigh(balancer, gramian, losses, present)
        combined = [_weighted_sum(weights, stack) for stack in stacks]
    return [g / count for g in combined] if reduce and count > 1 else combined


def _weigh(balancer: Any, gramian: Any, losses: Any, present: Any) -> Any:
    """The weights, NaN if a gradient or loss is not finite, of which no state then hears.

    An optimizer that scales the loss leaves out such a step; any other shows it, as it does in Keras.
    """
    sound = ops.logical_and(ops.all(ops.isfinite(gramian)), ops.all(ops.isfinite(losses)))
    state = _kept(balancer)
    weights = balancer.weigh(
        ops.where(sound, gramian, ops.eye(losses.shape[0])), ops.where(sound, losses, 1.0), present
    )
    balancer.last_weights.assign(weights)
    _restore(state, unless=sound)
    return ops.where(sound, weights, float("nan"))


def _kept(balancer: Any) -> list[tuple[Any, Any]]:
    return [(v, ops.copy(v.value)) for v in balancer.weights]


def _restore(state: list[tuple[Any, Any]], unless: Any) -> None:
    for variable, before in state:
        variable.assign(ops.where(unless, variable.value, before))


def _whole(terms: Terms) -> tuple[Any, Any]:
    """The K losses over all replicas, as constants, and which tasks are present in any."""
    losses = sum_over_replicas(ops.stack([ops.cast(x, "float32") for x in terms.losses]))
    counts = sum_over_replicas(ops.stack([ops.cast(x, "float32") for x in terms.counts]))
    return ops.stop_gradient(losses), counts > 0


def _stack(row: Sequence[Any]) -> Any:
    there = next(g for g in row if g is not None)
    return ops.stack([_dense(_zeros(g, there)) for g in row])


def _zeros(gradient: Any, like: Any) -> Any:
    return ops.zeros_like(_dense(like)) if gradient is None else gradient


def _dense(gradient: Any) -> Any:
    """The rows of an embedding that a batch has read, as a whole table."""
    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient


def _gramian(stacks: Sequence[Any], k: int) -> Any:
    total = ops.zeros((k, k), "float32")
    for stack in stacks:
        flat = ops.cast(ops.reshape(stack, (k, -1)), "float32")
        total = total + ops.matmul(flat, ops.transpose(flat))
    return total


def _weighted_sum(weights: Any, stack: Any) -> Any:
    flat = ops.reshape(stack, (stack.shape[0], -1))
    combined = ops.matmul(ops.cast(ops.expand_dims(weights, 0), flat.dtype), flat)
    return ops.reshape(combined, ops.shape(stack)[1:])


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


def replicas() -> int:
    """The number of replicas that train in step; 1 without a `tf.distribute` strategy."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def sum_over_replicas(value: Any) -> Any:
    """The sum of `value` over all replicas, so that a mean is over the labels of all of them."""
    context = tf.distribute.get_replica_context()
    if replicas() == 1 or context is None:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)
