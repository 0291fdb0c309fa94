"""How K gradients become one: the Gramian, a balancer's weights, and the weighted sum.

The Gramian is summed variable by variable and over replicas; its solver sees float32 that no loss
scale has touched. A gradient or loss that is not finite reaches no state of a balancer.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops

from keras_mtl._replicas import replicas, sum_over_replicas


class Terms(NamedTuple):
    """What a forward pass over a batch, or over a part of one, hands to a balancer.

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


class Whole(NamedTuple):
    """The tasks as seen over all replicas and all parts of the batch, as constants.

    Attributes:
        losses: `(K,)`, each the mean over all labels.
        present: `(K,)` booleans, tasks with labels in every part.
        shares: `(parts, K)`, the part of a task's labels that each part of the batch holds.
    """

    losses: Any
    present: Any
    shares: Any

    @classmethod
    def of(cls, parts: Sequence[Terms]) -> "Whole":
        losses = ops.stack([_vector(part.losses) for part in parts])
        counts = ops.stack([_vector(part.counts) for part in parts])
        losses, counts = ops.stop_gradient(sum_over_replicas(losses)), sum_over_replicas(counts)
        if len(parts) == 1:
            return cls(losses[0], counts[0] > 0, ops.ones_like(counts))
        total = ops.sum(counts, axis=0)
        shares = counts / ops.where(total > 0, total, 1.0)
        return cls(ops.sum(shares * losses, axis=0), ops.all(counts > 0, axis=0), shares)


def combined(
    balancer: Any,
    stacks: Sequence[Any],
    names: Sequence[str],
    whole: Whole,
    scale: Any,
    *,
    reduce: bool = True,
) -> list[Any]:
    """The balanced gradient of each stack, as this replica's share of it.

    Args:
        balancer: A balancer that looks at gradients.
        stacks: `(parts * K, ...)` for each variable (or feature); zeros where a task does not reach it.
        names: The path of each variable.
        whole: The losses.
        scale: What the gradients are scaled by in mixed precision, and what is returned is, too.
        reduce: Whether the stacks of the replicas add up; features are of each replica's own rows.
    """
    count = replicas()
    if reduce and count > 1:
        stacks = [sum_over_replicas(stack) for stack in stacks]
    if balancer.needs == "gradients":
        found = [balancer.combine(stack, whole.present) for stack in stacks]
    elif balancer.keeps:
        found = _followed(balancer, stacks, names, whole, scale)
    else:
        total = gramian(stacks, balancer.parts * len(balancer.task_names)) / (scale * scale)
        weights = _weigh(balancer, total if reduce else sum_over_replicas(total), whole)
        found = [_weighted_sum(weights, stack) for stack in stacks]
    return [g / count for g in found] if reduce and count > 1 else found


def gramian(stacks: Sequence[Any], rows: int) -> Any:
    """`G[i, j] = <g_i, g_j>` over all stacks, `(rows, rows)` in float32."""
    total = ops.zeros((rows, rows), "float32")
    for stack in stacks:
        flat = ops.cast(ops.reshape(stack, (rows, -1)), "float32")
        if rows < 4:
            # XLA multiplies matrices that are so narrow three times slower than it does vectors.
            columns = [ops.matmul(flat, ops.expand_dims(flat[k], 1)) for k in range(rows)]
            total = total + ops.concatenate(columns, axis=1)
        else:
            total = total + ops.matmul(flat, ops.transpose(flat))
    return total


def held_weights(balancer: Any, whole: Whole) -> Any:
    """The weights of a step at which a balancer that balances now and then does not, `(K,)`."""
    weights = ops.where(whole.present, balancer.held.value, 0.0)
    balancer.last_weights.assign(weights)
    return weights


def _weigh(balancer: Any, found: Any, whole: Whole) -> Any:
    """The weights, NaN if a gradient or loss is not finite, of which no state then hears.

    An optimizer that scales the loss leaves out such a step; any other shows it, as it does in Keras.
    """
    losses, present, _ = whole
    sound = ops.logical_and(ops.all(ops.isfinite(found)), ops.all(ops.isfinite(losses)))
    state = kept_state(balancer)
    weights = balancer.weigh(
        ops.where(sound, found, ops.eye(found.shape[0])), ops.where(sound, losses, 1.0), present
    )
    by_task = ops.sum(ops.reshape(weights, (balancer.parts, -1)), axis=0)
    balancer.last_weights.assign(by_task)
    if balancer.every > 1:
        balancer.held.assign(ops.where(present, by_task, balancer.held))
    restore(state, unless=sound)
    return ops.where(sound, weights, float("nan"))


def _followed(
    balancer: Any, stacks: Sequence[Any], names: Sequence[str], whole: Whole, scale: Any
) -> list[Any]:
    """What a balancer makes of gradients that it follows from step to step."""
    stacks = [ops.cast(stack, "float32") / scale for stack in stacks]
    k = len(balancer.task_names)
    squares = ops.zeros((k,), "float32")
    for stack in stacks:
        squares = squares + ops.sum(ops.square(ops.reshape(stack, (k, -1))), axis=1)
    sound = ops.logical_and(ops.all(ops.isfinite(squares)), ops.all(ops.isfinite(whole.losses)))
    stepped, total = [], ops.zeros((k, k), "float32")
    for stack, name in zip(stacks, names, strict=True):
        memory = balancer.memory(name)
        seen = balancer.followed(
            stack, memory.value, ops.sqrt(squares), whole.losses, whole.present
        )
        memory.assign(ops.where(sound, seen.kept, memory))
        total = total + gramian([seen.measured], k)
        stepped.append(seen.stepped)
    weights = _weigh(balancer, ops.where(sound, total, float("nan")), whole)
    return [_weighted_sum(weights * scale, stack) for stack in stepped]


def kept_state(balancer: Any) -> list[tuple[Any, Any]]:
    """The balancer's variables and what they hold now, without its memory of gradients."""
    return [(v, ops.copy(v.value)) for v in balancer.small_variables]


def restore(state: Sequence[tuple[Any, Any]], unless: Any) -> None:
    """Gives variables back what `kept_state` found in them, unless the step was sound."""
    for variable, before in state:
        variable.assign(ops.where(unless, variable.value, before))


def _vector(scalars: Sequence[Any]) -> Any:
    return ops.stack([ops.cast(x, "float32") for x in scalars])


def _weighted_sum(weights: Any, stack: Any) -> Any:
    # Term by term, which fuses into one pass; a product with a matrix of one row does not.
    rows = stack.shape[0]
    weights = ops.unstack(ops.cast(weights, stack.dtype), rows)
    terms = [w * g for w, g in zip(weights, ops.unstack(stack, rows), strict=True)]
    return sum(terms[1:], terms[0])
