"""How K gradients become one: the Gramian, a balancer's weights, and the weighted sum.

The Gramian is summed variable by variable and over replicas; its solver sees float32 that no loss
scale has touched. A gradient or loss that is not finite reaches no state of a balancer.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from keras import ops

from keras_mtl._dense_gradients import Rows, inner_products, weighted_sum
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
    variables: Sequence[Any],
    whole: Whole,
    scale: Any,
) -> list[Any]:
    """The gradient of each variable, where a method looks at each entry of the K gradients.

    Args:
        balancer: A balancer that needs gradients, or keeps them.
        stacks: `(K, ...)` for each variable; zeros where a task does not reach it.
        variables: Of which they are.
        whole: The losses.
        scale: What the gradients are scaled by in mixed precision, and what is returned is, too.

    Returns:
        This replica's share of each.
    """
    count = replicas()
    if count > 1:
        stacks = [sum_over_replicas(stack) for stack in stacks]
    if balancer.needs == "gradients":
        found = [balancer.combine(stack, whole.present) for stack in stacks]
    else:
        found = _followed(balancer, stacks, variables, whole, scale)
    return [g / count for g in found] if count > 1 else found


def weights_of(
    balancer: Any, parts: Mapping[int, Sequence[Rows]], whole: Whole, scale: Any, *, reduce: bool
) -> list[list[Any]]:
    """The weights of the K gradients of each part of the batch, by their inner products.

    Args:
        balancer: A balancer that needs the Gramian.
        parts: For each part that is compared with another, the K gradients by each variable (or
            feature).
        whole: The losses.
        scale: What the gradients are scaled by in mixed precision.
        reduce: Whether the Gramian is still to be summed over replicas.

    Returns:
        K scalars for each part.
    """
    k = len(balancer.task_names)
    total = gramian(balancer, parts) / (scale * scale)
    weights = _weigh(balancer, sum_over_replicas(total) if reduce else total, whole)
    each = ops.unstack(weights, balancer.parts * k)
    return [each[p * k : (p + 1) * k] for p in range(balancer.parts)]


def gramian(balancer: Any, parts: Mapping[int, Sequence[Rows]]) -> Any:
    """`G[p, i, q, j] = <g_pi, g_qj>` over all variables as `(parts * K, parts * K)`, in float32.

    It is 0 where the balancer does not look.
    """
    k = len(balancer.task_names)
    none = ops.zeros((k, k), "float32")
    blocks = {}
    for p, q in balancer.compared:
        block = none
        for one, other in zip(parts[p], parts[q], strict=True):
            block = block + inner_products(one, other, lengths_only=balancer.lengths_only)
        blocks[q, p] = ops.transpose(block)
        blocks[p, q] = block
    n = range(balancer.parts)
    return ops.concatenate(
        [ops.concatenate([blocks.get((p, q), none) for q in n], axis=1) for p in n], axis=0
    )


def held_weights(balancer: Any, whole: Whole) -> Any:
    """The weights of a step at which a balancer that balances now and then does not, `(K,)`."""
    weights = ops.where(whole.present, balancer.held.value, 0.0)
    note_weights(balancer, weights)
    return weights


def note_weights(balancer: Any, weights: Any) -> None:
    """Tells whoever watches the weights of a step, `(K,)`."""
    balancer.last_weights.assign(weights)
    balancer.record.add_weights(weights)


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
    note_weights(balancer, by_task)
    part, k = balancer.measured, len(balancer.task_names)
    if part is not None:
        own = found[part * k : (part + 1) * k, part * k : (part + 1) * k]
        only = balancer.lengths_only
        balancer.record.add_gramian(own, present, sound, lengths_only=only)
    if balancer.every > 1:
        balancer.held.assign(ops.where(present, by_task, balancer.held))
    restore(state, unless=sound)
    return ops.where(sound, weights, float("nan"))


def _followed(
    balancer: Any, stacks: Sequence[Any], variables: Sequence[Any], whole: Whole, scale: Any
) -> list[Any]:
    """What a balancer makes of gradients that it follows from step to step."""
    k = len(balancer.task_names)
    stacks = [ops.cast(stack, "float32") / scale for stack in stacks]
    squares = ops.zeros((k,), "float32")
    for stack in stacks:
        squares = squares + ops.sum(ops.square(ops.reshape(stack, (k, -1))), axis=1)
    sound = ops.logical_and(ops.all(ops.isfinite(squares)), ops.all(ops.isfinite(whole.losses)))
    stepped, total = [], ops.zeros((k, k), "float32")
    for stack, variable in zip(stacks, variables, strict=True):
        memory = balancer.memory(variable)
        before = memory.value
        seen = balancer.follow(stack, before, ops.sqrt(squares), whole.losses)
        moves = ops.reshape(
            ops.logical_and(sound, whole.present), (-1, *[1] * (len(stack.shape) - 1))
        )
        kept = ops.where(moves, seen.kept, before)
        # What is kept is most often what is measured and stepped along; then it is the one tensor.
        measured = kept if seen.measured is seen.kept else seen.measured
        memory.assign(kept)
        rows = ops.unstack(measured, k)
        total = total + inner_products(rows, rows, lengths_only=balancer.lengths_only)
        stepped.append(kept if seen.stepped is seen.kept else seen.stepped)
    both = ops.logical_and(ops.expand_dims(whole.present, 1), whole.present)
    total = ops.where(sound, ops.where(both, total, 0.0), float("nan"))
    weights = ops.unstack(_weigh(balancer, total, whole) * scale, k)
    return [weighted_sum(weights, ops.unstack(stack, k)) for stack in stepped]


def kept_state(balancer: Any) -> list[tuple[Any, Any]]:
    """The balancer's variables and what they hold now, without its memory of gradients."""
    return [(v, ops.copy(v.value)) for v in balancer.small_variables]


def restore(state: Sequence[tuple[Any, Any]], unless: Any) -> None:
    """Gives variables back what `kept_state` found in them, unless the step was sound."""
    for variable, before in state:
        variable.assign(ops.where(unless, variable.value, before))


def _vector(scalars: Sequence[Any]) -> Any:
    return ops.stack([ops.cast(x, "float32") for x in scalars])
