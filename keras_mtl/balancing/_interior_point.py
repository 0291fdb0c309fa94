"""Convex quadratic programs with any linear constraints: Mehrotra's interior-point method."""

from typing import Any, NamedTuple

from keras import ops

from keras_mtl.balancing._scaling import matvec, solve

# Keeps a system of parallel constraints from being singular, in units of a unit diagonal.
_RIDGE = 1e-5


class Program(NamedTuple):
    """`min x^T Q x / 2 + b^T x` with `A x = c` and `G x >= h`, all of the order of 1.

    Attributes:
        quadratic: Q, `(n, n)`, positive semidefinite; may be zero.
        linear: b, `(n,)`.
        equal: A, `(p, n)`.
        equal_to: c, `(p,)`.
        above: G, `(m, n)`.
        at_least: h, `(m,)`.
    """

    quadratic: Any
    linear: Any
    equal: Any
    equal_to: Any
    above: Any
    at_least: Any


def minimum(program: Program, start: Any, *, iterations: int = 30) -> tuple[Any, Any]:
    """The solution of a program, `(n,)`, and how far it breaks a constraint, `()`.

    Nocedal and Wright, "Numerical Optimization", 2nd ed., 2006, algorithm 16.4, with one step length.

    Args:
        program: The program; if nothing meets its constraints, what is returned breaks one.
        start: `(n,)`, anywhere.
        iterations: The most steps.
    """
    q, b, a, c, g, h = program
    n, p, m = g.shape[1], a.shape[0], g.shape[0]
    gt = ops.transpose(g)

    def residuals(x: Any, y: Any, s: Any, z: Any) -> tuple[Any, Any, Any]:
        dual = matvec(q, x) + b - matvec(ops.transpose(a), y) - matvec(gt, z)
        return dual, matvec(a, x) - c, matvec(g, x) - s - h

    def body(step: Any, x: Any, y: Any, s: Any, z: Any, gap: Any) -> tuple[Any, ...]:
        dual, primal, slack = residuals(x, y, s, z)
        ratio = ops.clip(z / s, 1e-8, 1e8)
        corner = q + ops.matmul(gt * ratio, g)
        # Some ratios go to 0 and others to infinity: brought to a unit diagonal, float32 can solve it.
        unit = ops.rsqrt(ops.maximum(ops.diagonal(corner), 1e-8))
        corner = corner * unit * ops.expand_dims(unit, 1) + _RIDGE * ops.eye(n)
        edge = a * unit
        system = ops.concatenate(
            [
                ops.concatenate([corner, -ops.transpose(edge)], axis=1),
                ops.concatenate([edge, _RIDGE * ops.eye(p)], axis=1),
            ],
            axis=0,
        )

        def direction(complement: Any) -> tuple[Any, Any, Any, Any]:
            right = -dual - matvec(gt, complement / s + ratio * slack)
            found = solve(system, ops.concatenate([right * unit, -primal]))
            dx, dy = found[:n] * unit, found[n:]
            ds = matvec(g, dx) + slack
            return dx, dy, ds, (-complement - z * ds) / s

        def longest(value: Any, change: Any) -> Any:
            return ops.min(ops.where(change < 0, -value / ops.where(change < 0, change, -1.0), 1e6))

        _, _, ds, dz = direction(z * s)
        reach = ops.minimum(1.0, ops.minimum(longest(s, ds), longest(z, dz)))
        after = ops.sum((s + reach * ds) * (z + reach * dz)) / m
        aim = gap * ops.power(after / gap, 3.0)
        dx, dy, ds, dz = direction(z * s + ds * dz - aim)
        reach = ops.minimum(1.0, 0.98 * ops.minimum(longest(s, ds), longest(z, dz)))
        moved = (
            x + reach * dx,
            y + reach * dy,
            ops.maximum(s + reach * ds, 1e-10),
            ops.maximum(z + reach * dz, 1e-10),
        )
        # What has no solution runs off to infinity: stop before it does.
        sound = ops.all(ops.stack([ops.all(ops.abs(v) < 1e10) for v in moved]))
        x, y, s, z = (ops.where(sound, v, o) for v, o in zip(moved, (x, y, s, z), strict=True))
        return step + 1, x, y, s, z, ops.where(sound, ops.sum(s * z) / m, 0.0)

    s = ops.maximum(matvec(g, start) - h, 1.0)
    z = ops.ones((m,), "float32")
    state = (ops.zeros((), "int32"), start, ops.zeros((p,), "float32"), s, z, ops.sum(s * z) / m)
    _, x, _, _, _, _ = ops.while_loop(
        lambda step, x, y, s, z, gap: gap > 1e-7, body, state, maximum_iterations=iterations
    )
    broken = ops.maximum(
        ops.max(ops.abs(matvec(a, x) - c)), ops.max(ops.maximum(h - matvec(g, x), 0.0))
    )
    return x, broken
