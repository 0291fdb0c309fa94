"""Sinkhorn divergence: transport with a little entropy, less what the entropy itself costs."""

from typing import Any

from keras import ops

from keras_mtl.alignment._kernels import squared_distances
from keras_mtl.alignment._sample import Sample, sample, shares, where_comparable


def sinkhorn_divergence(
    x: Any,
    y: Any,
    x_weights: Any = None,
    y_weights: Any = None,
    *,
    epsilon: float = 0.1,
    iterations: int = 50,
) -> Any:
    """`OT(x, y) - (OT(x, x) + OT(y, y)) / 2`, `()`.

    `OT(x, y) = min_P <P, C> + e KL(P | a b^T)` over the plans P that carry the rows of x, each of the
    same weight, to those of y, where `C_ij = |x_i - y_j|^2` and e is `epsilon` times the mean of C, a
    constant for the backward pass. With a small e it comes to W_2^2, with a large one to the squared
    distance of the means. It is 0 where a side has fewer than two rows.

    Genevay, Peyre and Cuturi, "Learning Generative Models with Sinkhorn Divergences", AISTATS 2018,
    arXiv:1706.00292, whose OT leaves the entropy out of the cost of the best plan, and which is twice
    as large. Here the entropy is in, as in Feydy et al., "Interpolating between Optimal Transport and
    MMD using Sinkhorn Divergences", AISTATS 2019, arXiv:1810.08278: the divergence is then never
    negative but for what the iterations lack, and its gradient needs no pass back through them.

    Args:
        x: `(n, d)`.
        y: `(m, d)`.
        x_weights: `(n,)`, 1 for rows that take part and 0 for others; all do by default.
        y_weights: `(m,)`, likewise.
        epsilon: The weight of the entropy, in units of the mean squared distance of x to y.
        iterations: Of all potentials at once, in the log domain; e falls to its value in the first
            half of them.
    """
    check_sinkhorn("sinkhorn_divergence", epsilon, iterations)
    one, other = sample(x, x_weights), sample(y, y_weights)
    # Of a cost, one side moves with the gradient: a potential is the other side's answer to it.
    costs = _cost(one, other), _cost(other, one), _cost(one, one), _cost(other, other)
    a, b = shares(one), shares(other)
    middling = ops.sum(a * ops.matmul(b, costs[1]), axis=-1)
    unit = ops.stop_gradient(ops.maximum(middling, 1e-12))

    def answers(costs: Any, potentials: Any, e: Any) -> Any:
        f, g, p, q = potentials
        against = ((g, other), (f, one), (p, one), (q, other))
        return [_answer(c, *to, e) for c, to in zip(costs, against, strict=True)]

    # No gradient passes the loop: XLA could not keep what it would need.
    held = [ops.stop_gradient(cost) for cost in costs]

    def step(i: Any, potentials: Any) -> Any:
        fallen = ops.minimum(2.0 * ops.cast(i, "float32") / iterations, 1.0)
        better = answers(held, potentials, unit * ops.power(float(epsilon), fallen))
        return tuple(0.5 * (old + new) for old, new in zip(potentials, better, strict=True))

    zeros = tuple(ops.zeros_like(side.weights) for side in (one, other, one, other))
    found = ops.fori_loop(0, iterations, step, zeros)
    f, g, p, q = answers(costs, found, unit * epsilon)
    return where_comparable(
        ops.sum(a * (f - p), axis=-1) + ops.sum(b * (g - q), axis=-1), one, other
    )


def check_sinkhorn(name: str, epsilon: float, iterations: int) -> None:
    """Says what is wrong with the arguments of Sinkhorn's iterations, if anything is.

    Raises:
        ValueError: If one of them is not positive.
    """
    if not epsilon > 0:
        raise ValueError(f"`epsilon` of {name} is {epsilon!r}; expected a positive number.")
    if iterations < 1:
        raise ValueError(f"`iterations` of {name} is {iterations!r}; expected 1 or more.")


def _cost(of: Sample, to: Sample) -> Any:
    return squared_distances(of.rows, ops.stop_gradient(to.rows))


def _answer(cost: Any, potential: Any, to: Sample, e: Any) -> Any:
    """`-e log sum_j b_j exp((g_j - C_ij) / e)`, the best potential against another's, `(..., n)`."""
    scores = (ops.expand_dims(potential, -2) - cost) / ops.expand_dims(e, (-2, -1))
    # Rows that take no part weigh nothing, however near they are.
    scores = ops.where(ops.expand_dims(to.weights, -2) > 0, scores, -1e12)
    among = ops.log(ops.maximum(to.count, 1.0))
    return ops.expand_dims(e, -1) * (ops.expand_dims(among, -1) - ops.logsumexp(scores, axis=-1))
