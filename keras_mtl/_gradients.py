"""The gradient engine: the only file that knows `GradientTape`.

A step of fixed weights is one backward pass of their sum (`backward`). A step that a balancer weighs
is one forward pass and as many backward passes as it needs (`balanced`): a loss balancer needs one;
the others need the K gradients of what the tasks share, found as what two or more losses reach.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_mtl._combination import (
    Terms,
    Whole,
    combined,
    held_weights,
    kept_state,
    note_weights,
    restore,
    weights_of,
)
from keras_mtl._dense_gradients import Product, Products, Reading, Rows, reading, weighted_sum
from keras_mtl._replicas import replicas, sum_over_replicas


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
    dense: Sequence[keras.layers.Dense],
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
        dense: Layers that two or more tasks depend on and that nothing but the graph calls.
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
    return _k_passes(objectives, dense, variables, balancer, scale)


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
    note_weights(balancer, weights)
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
    objectives: Any, dense: Any, variables: Any, balancer: Any, scale: Any
) -> tuple[list[Any], list[Any]]:
    k, by_gramian = len(balancer.task_names), balancer.needs == "gramian" and not balancer.keeps
    # Products of gradients cannot be summed over replicas before they are multiplied.
    layers = dense if by_gramian and replicas() == 1 else []
    with tf.GradientTape(persistent=True) as tape, reading(layers, k, tape.watch) as readings:
        parts = [objective(None) for objective in objectives]
        whole = Whole.of(parts)
        targets = [
            balancer.differentiated(part.losses, whole.losses, whole.present) for part in parts
        ]
    every = [target for part in targets for target in part]
    rows = _Sought(variables, readings).rows(tape, every, scale)
    own = {id(v) for v in balancer.trainable_variables}
    shared = [
        i
        for i, row in enumerate(rows)
        if id(variables[i]) not in own and sum(g is not None for g in row[:k]) > 1
    ]
    trunk = _Sought([variables[i] for i in shared], readings)

    def balance() -> list[Any]:
        found = [rows[i] for i in shared]
        if balancer.every > 1:
            found = trunk.rows(tape, every, scale)
        if not by_gramian:
            stacks = [ops.stack(_filled(r)) for r in found]
            return combined(balancer, stacks, [variables[i] for i in shared], whole, scale)
        seen = sorted({p for pair in balancer.compared for p in pair})
        by_part = {p: [_summed(_filled(r[p * k : (p + 1) * k])) for r in found] for p in seen}
        weights = weights_of(balancer, by_part, whole, scale, reduce=False)
        steps = []
        for p in balancer.stepped:
            if p in by_part:
                # The optimizer adds the replicas up.
                shares = [w / replicas() for w in weights[p]]
                steps.append([weighted_sum(shares, r) for r in by_part[p]])
            else:
                # Nobody has to know its K gradients apart.
                steps.append(trunk.sum(tape, targets[p], [w * scale for w in weights[p]]))
        return [_total(step) for step in zip(*steps, strict=True)]

    def hold() -> list[Any]:
        seeds = ops.unstack(held_weights(balancer, whole) * scale, k)
        return trunk.sum(tape, every, seeds)

    found = balance() if balancer.every == 1 else _now_and_then(balancer, balance, hold)
    at = dict(zip(shared, found, strict=True))
    if len(parts) > 1:
        # Each part's loss is a mean over its own labels; heads learn from the mean over all.
        shares = ops.unstack(ops.reshape(whole.shares, (-1,)), len(every))
        rows = [
            row
            if i in at
            else [g if g is None else _dense(g) * s for g, s in zip(row, shares, strict=True)]
            for i, row in enumerate(rows)
        ]
    gradients = [at[i] if i in at else _total(row) for i, row in enumerate(rows)]
    extra = [part.extra for part in parts if part.extra is not None]
    if extra:
        more = _Sought(variables, readings).sum(tape, extra, [scale / len(parts)] * len(extra))
        gradients = [_add(g, m) for g, m in zip(gradients, more, strict=True)]
    return gradients, [part.rest for part in parts]


class _Sought:
    """Variables to differentiate by, and what `Dense` layers told of theirs."""

    def __init__(self, variables: Sequence[keras.Variable], readings: Sequence[Reading]):
        self._values = [v.value for v in variables]
        self._readings = readings
        self._at = {id(v): i for i, v in enumerate(variables)}

    def rows(self, tape: Any, targets: Sequence[Any], scale: Any) -> list[Sequence[Any]]:
        """For each variable its gradient of each target; None where one does not reach it."""
        return list(zip(*(self._of(tape, [t], [scale]) for t in targets), strict=True))

    def sum(self, tape: Any, targets: Sequence[Any], seeds: Sequence[Any]) -> list[Any]:
        """For each variable the gradient of the sum of targets, each times its seed."""
        return [None if g is None else _dense(g) for g in self._of(tape, targets, seeds)]

    def _of(self, tape: Any, targets: Sequence[Any], seeds: Sequence[Any]) -> list[Any]:
        sums = [read.sums for read in self._readings]
        found = tape.gradient(targets, [*self._values, *sums], output_gradients=list(seeds))
        count = len(self._values)
        gradients = found[:count]
        for read, told in zip(self._readings, found[count:], strict=True):
            kernel, bias = (self._at.get(id(v)) for v in (read.layer.kernel, read.layer.bias))
            if told is not None and kernel is not None:
                gradients[kernel] = _add(gradients[kernel], Product(read.inputs, told))
            if told is not None and bias is not None:
                gradients[bias] = _add(gradients[bias], ops.sum(told, axis=0))
        return gradients


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
        [ops.zeros_like(f) if g is None else _dense(g) for g in row]
        for row, f in zip(of_features, features, strict=True)
    ]
    if balancer.needs == "gradients":
        seeds = [balancer.combine(ops.stack(stack), whole.present) for stack in stacks]
    else:
        weights = weights_of(balancer, {0: stacks}, whole, scale, reduce=True)[0]
        seeds = [weighted_sum(weights, stack) for stack in stacks]
    seeds = [ops.cast(seed, f.dtype) for seed, f in zip(seeds, features, strict=True)]
    targets = [*features, *_given(terms.extra)]
    down = below.gradient(
        targets, values, output_gradients=[*seeds, *(scale for _ in _given(terms.extra))]
    )
    gradients = [_add(g, _total(row)) for g, row in zip(down, of_variables, strict=True)]
    return gradients, [terms.rest]


def _filled(row: Sequence[Any]) -> Rows:
    """K gradients, with zeros where a target does not reach; as products where all are."""
    there = [g for g in row if g is not None]
    first = there[0]
    if all(isinstance(g, Product) and g.inputs is first.inputs for g in there):
        none = ops.zeros_like(first.told)
        return Products(first.inputs, [none if g is None else g.told for g in row])
    none = ops.zeros_like(_dense(first))
    return [none if g is None else _dense(g) for g in row]


def _summed(rows: Rows) -> Rows:
    """K gradients, each summed over replicas."""
    if replicas() == 1:
        return rows
    return ops.unstack(sum_over_replicas(ops.stack(rows)), len(rows))


def _dense(gradient: Any) -> Any:
    """A gradient as one tensor: the rows of an embedding that a batch has read, or a product."""
    if isinstance(gradient, Product):
        return gradient.dense()
    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient


def _total(row: Sequence[Any]) -> Any:
    """The gradient of a variable that one loss reaches, or of several that are added up."""
    total = None
    for gradient in row:
        total = _add(total, gradient)
    return total.dense() if isinstance(total, Product) else total


def _add(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return _dense(one) + _dense(other)


def _given(value: Any) -> list[Any]:
    return [] if value is None else [value]
