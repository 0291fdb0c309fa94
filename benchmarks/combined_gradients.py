"""The gradients that our balancers, TorchJD and LibMTL combine of the same problem.

A `Run` takes a problem and gives its combined gradients, `(steps, P)` in float64.
"""

import contextlib
import dataclasses
import functools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from keras_mtl import balancing

STEPS = 4
# At which the balancers' own parameters learn, where the model's optimizer would train them.
RATE = 0.05


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Gradients, losses and luck.

    Attributes:
        parts: `(STEPS, 3, K, P)`, the gradients of three samples at each step.
        losses: `(STEPS + 1, K)`, before each step and after the last.
        orders: `(STEPS, K, K)`, a permutation for each task.
        uniforms: `(STEPS, P)`.
        normals: `(STEPS, K)`.
        preference: `(K,)`, positive.
    """

    parts: np.ndarray
    losses: np.ndarray
    orders: np.ndarray
    uniforms: np.ndarray
    normals: np.ndarray
    preference: np.ndarray

    @classmethod
    def of(cls, seed: int) -> "Problem":
        rng = np.random.default_rng(seed)
        k, p = 2 + seed % 7, int(rng.integers(20, 51))
        kind = ("gaussian", "conflicting", "badly scaled")[seed % 3]
        parts = rng.normal(size=(k, p)) + 0.3 * rng.normal(size=(STEPS, 3, k, p))
        if kind == "conflicting":
            parts -= 0.9 * parts.mean(2, keepdims=True)
        if kind == "badly scaled":
            parts *= 10 ** rng.uniform(-2, 2, size=(k, 1))
        falling = np.exp(np.cumsum(rng.normal(-0.1, 0.2, size=(STEPS + 1, k)), axis=0))
        return cls(
            parts.astype("float32"),
            (10 ** rng.uniform(-1, 1, size=k) * falling).astype("float32"),
            rng.permuted(np.tile(np.arange(k), (STEPS, k, 1)), axis=2),
            rng.uniform(size=(STEPS, p)).astype("float32"),
            rng.normal(size=(STEPS, k)).astype("float32"),
            rng.uniform(0.1, 1, size=k).astype("float32"),
        )

    @property
    def gradients(self) -> np.ndarray:
        """`(STEPS, K, P)`, those of the first sample."""
        return self.parts[:, 0]

    @property
    def k(self) -> int:
        return self.parts.shape[2]

    @property
    def tasks(self) -> list[str]:
        return [f"t{i}" for i in range(self.k)]

    @property
    def preferences(self) -> dict[str, float]:
        return dict(zip(self.tasks, self.preference.tolist(), strict=True))


Run = Callable[[Problem], np.ndarray]


@contextlib.contextmanager
def same_luck(problem: Problem, step: int) -> Iterator[None]:
    """Whoever draws an order or a number gets that of the problem."""
    orders, rows = problem.orders[step], iter(problem.orders[step].tolist())
    patches = {
        "keras_mtl.balancing.pcgrad.random_order": lambda k, seed: orders,
        "keras_mtl.balancing.gradvac.random_order": lambda k, seed: orders,
        "keras.random.uniform": lambda *_, **__: tf.constant(problem.uniforms[step]),
        "keras.random.normal": lambda *_, **__: tf.constant(problem.normals[step]),
        "random.shuffle": lambda items: items.sort(key=next(rows).index),
    }
    if "torch" in sys.modules:
        import torch

        turns = iter(range(problem.k))

        def randperm(n: int) -> Any:
            # Of all tasks, or of those other than the one whose turn it is.
            i = next(turns)
            met = [j for j in orders[i].tolist() if n == problem.k or j != i]
            return torch.tensor([sorted(met).index(j) for j in met])

        patches |= {
            "torch.randperm": randperm,
            "torch.rand": lambda *_, **__: torch.tensor(problem.uniforms[step]),
            "torch.rand_like": lambda *_, **__: torch.tensor(problem.uniforms[step]),
            "torch.randn": lambda *_, **__: torch.tensor(problem.normals[step]),
        }
    with contextlib.ExitStack() as stack:
        for name, drawn in patches.items():
            stack.enter_context(mock.patch(name, drawn))
        yield


# Ours.


def ours(make: Callable[[Problem], balancing.Balancer], steps: int = 1) -> Run:
    """The combined gradients of a balancer, `(steps, P)`; computed once a problem."""

    @functools.cache
    def run(problem: Problem) -> np.ndarray:
        made, combined = make(problem), []
        theta = keras.Variable(problem.uniforms[0], name="theta")
        made.bind(problem.tasks, [theta])
        take = {"losses": _by_losses, "gramian": _by_gramian, "gradients": _by_entries}[made.needs]
        if made.keeps:
            take = functools.partial(take, memory=made.memory(theta))
        for step in range(steps):
            with same_luck(problem, step):
                combined.append(np.float64(take(made, problem, step)))
            if made.needs_losses_after_step:
                after = tf.constant(problem.losses[step + 1])
                made.after_step(after, tf.ones(problem.k, bool))
            made.on_epoch_end()
        return np.stack(combined)

    return run


def _by_losses(made: Any, problem: Problem, step: int) -> Any:
    losses, own = tf.constant(problem.losses[step]), made.trainable_variables
    with tf.GradientTape() as tape:
        tape.watch(losses)
        objective = made.objective(losses, tf.ones(problem.k, bool))
    weights, slopes = tape.gradient(objective, [losses, [v.value for v in own]])
    for variable, slope in zip(own, slopes, strict=True):
        variable.assign_sub(RATE * slope)
    return np.float64(weights) @ problem.gradients[step]


def _by_gramian(made: Any, problem: Problem, step: int, memory: Any = None) -> Any:
    losses, own = tf.constant(problem.losses[step]), made.trainable_variables
    present = tf.ones(problem.k, bool)
    with tf.GradientTape() as tape:
        tape.watch(losses)
        targets = tf.stack(made.differentiated(tf.unstack(losses), problem.losses[step], present))
    chain, slopes = tape.gradient(targets, [losses, [v.value for v in own]])
    for variable, slope in zip(own, slopes, strict=True):
        variable.assign_sub(RATE * slope)
    rows = chain[:, None] * problem.parts[step, : made.parts]
    measured = stepped = tf.reshape(rows, (-1, rows.shape[-1]))
    if made.keeps:
        norms = tf.norm(stepped, axis=1)
        measured, stepped, kept = made.follow(stepped, memory.value, norms, losses)
        memory.assign(kept)
    gramian = tf.matmul(measured, measured, transpose_b=True)
    return np.float64(made.weigh(gramian, losses, present)) @ np.float64(stepped)


def _by_entries(made: Any, problem: Problem, step: int) -> Any:
    return made.combine(tf.constant(problem.gradients[step]), tf.ones(problem.k, bool))


# TorchJD's. `make` gets the module and the problem.


def nothing(made: Any, problem: Problem, step: int) -> None:
    """What most peers need before the first step, and after each."""


def one(problem: Problem) -> float:
    """What most peers' steps are multiplied with."""
    return 1.0


def aggregator(
    make: Callable[[Any, Problem], Any],
    steps: int = 1,
    double: bool = False,
    times: Callable[[Problem], float] = one,
    patch: Callable[[], Any] = contextlib.nullcontext,
) -> Run:
    """An aggregator on the Jacobian, in float64 if `double`."""

    @functools.cache
    def run(problem: Problem) -> np.ndarray:
        import torch
        from torchjd import aggregation

        made, combined = make(aggregation, problem), []
        for step in range(steps):
            jacobian = torch.tensor(problem.gradients[step])
            with same_luck(problem, step), patch():
                combined.append(made(jacobian.double() if double else jacobian).numpy())
        return times(problem) * np.float64(combined)

    return run


def split_weighting(make: Callable[[Any, Problem], Any], double: bool = False) -> Run:
    """A weighting on the products of two samples' gradients, for a third's, at all steps."""

    @functools.cache
    def run(problem: Problem) -> np.ndarray:
        import torch
        from torchjd import aggregation

        made, combined = make(aggregation, problem), []
        for parts in torch.tensor(problem.parts, dtype=torch.float64 if double else torch.float32):
            first, second, third = parts
            combined.append((made(first @ second.T) @ third).numpy())
        return np.float64(combined)

    return run


def scalarizer(
    make: Callable[[Any, Problem], Any],
    steps: int = 1,
    read: Callable[[Any, Problem], Any] = lambda losses, problem: losses,
    times: Callable[[Problem], float] = one,
    after: Callable[[Any, Problem, int], None] = nothing,
) -> Run:
    """A scalarizer on what `read` makes of the losses."""

    @functools.cache
    def run(problem: Problem) -> np.ndarray:
        import torch
        from torchjd import scalarization

        made, combined = make(scalarization, problem), []
        for step in range(steps):
            losses = torch.tensor(problem.losses[step], requires_grad=True)
            with same_luck(problem, step):
                made(read(losses, problem)).backward()
            combined.append(losses.grad.double().numpy() @ problem.gradients[step])
            for own in made.parameters():
                descend(own)
            after(made, problem, step)
        return times(problem) * np.float64(combined)

    return run


def descend(own: Any, rate: float = RATE) -> None:
    """A step of gradient descent on a parameter that a peer has of its own."""
    if own.grad is not None:
        own.data -= rate * own.grad
        own.grad = None


# LibMTL's.


def method(
    name: str,
    steps: int = 1,
    epoch: int = 0,
    double: bool = False,
    scale: float = 1.0,
    times: Callable[[Problem], float] = one,
    before: Callable[[Any, Problem, int], None] = nothing,
    after: Callable[[Any, Problem, int], None] = nothing,
    patch: Callable[[], Any] = contextlib.nullcontext,
    features: bool = False,
    parts: tuple[int, ...] = (),
    returned: bool = False,
    **options: Any,
) -> Run:
    """A method on K losses that are linear in one shared vector; each step is an epoch.

    Args:
        name: Of the class.
        steps: How many in a row.
        epoch: Of the first.
        double: Whether in float64.
        scale: What the losses are multiplied with.
        times: What the combined gradient is multiplied with.
        before: What it needs before the first step.
        after: And after each.
        patch: A context for its steps.
        features: Whether the shared vector is a feature, for a batch of one row.
        parts: Which samples it gets, if several.
        returned: Whether the weights that it returns make the step, rather than it.
        options: Its hyper-parameters.
    """

    @functools.cache
    def run(problem: Problem) -> np.ndarray:
        import torch
        from LibMTL import weighting

        def linear(point: Any, step: int, part: int) -> Any:
            rows = torch.tensor(problem.parts[step, part], dtype=point.dtype)
            values = torch.tensor(problem.losses[step], dtype=point.dtype)
            return scale * ((rows * (point - point.detach())).sum(1) + values)

        torch.set_default_dtype(torch.float64 if double else torch.float32)
        theta = torch.ones(problem.uniforms.shape[1], requires_grad=True)
        made = getattr(weighting, name)()
        made.task_num, made.task_name, made.device = problem.k, problem.tasks, "cpu"
        made.rep_grad, made.decoders = features, {}
        made.train_loss_buffer = np.float64(problem.losses.T)
        made.get_share_params = lambda: [theta]
        made.zero_grad_share_params = lambda: theta.grad.zero_()
        made.encoder = types.SimpleNamespace(zero_grad=lambda: theta.grad.zero_())
        made.init_param()
        before(made, problem, 0)
        combined = []
        for step in range(steps):
            made.epoch, theta.grad = epoch + step, torch.zeros_like(theta)
            losses: Any = [linear(theta, step, part) for part in parts or (0,)]
            if features:
                made.rep = theta[None] * 1.0
                apart = [made.rep.detach().clone().requires_grad_() for _ in problem.tasks]
                made.rep_tasks = dict(zip(problem.tasks, apart, strict=True))
                losses = [linear(torch.cat(apart), step, 0)]
            quiet = contextlib.redirect_stdout(None)
            with same_luck(problem, step), quiet, patch():
                weights = made.backward(losses if parts else losses[0], **options)
            rows = np.float64(problem.gradients[step])
            combined.append(weights @ rows if returned else theta.grad.double().numpy())
            after(made, problem, step)
        torch.set_default_dtype(torch.float32)
        return times(problem) * np.float64(combined)

    return run


def learn_scale(made: Any, problem: Problem, step: int) -> None:
    descend(made.loss_scale)


# What the papers minimise: the smaller the better, in units in which SLACK is nothing.

SLACK = 1e-4


def weights_of(problem: Problem, step: np.ndarray) -> np.ndarray:
    """The weights of a combined gradient, `(K,)`, by least squares on gradients of length 1."""
    rows = np.float64(problem.gradients[0])
    norms = np.linalg.norm(rows, axis=1)
    return np.linalg.lstsq((rows / norms[:, None]).T, step, rcond=None)[0] / norms


def length(problem: Problem, step: np.ndarray) -> float:
    """MGDA: of the combination, over the shortest gradient's."""
    return np.linalg.norm(step) / np.linalg.norm(problem.gradients[0], axis=1).min()


def normalised_length(problem: Problem, step: np.ndarray) -> float:
    """MGDA on gradients divided by their norms and losses, with the weights that made the step."""
    size = np.linalg.norm(problem.gradients[0], axis=1) * problem.losses[0]
    combination = weights_of(problem, step) / size @ problem.gradients[0]
    return np.linalg.norm(combination) * problem.losses[0].max()


def worst_gain(problem: Problem, step: np.ndarray, c: float = 0.5) -> float:
    """CAGrad: the least improvement, negated, of a step within the ball around the mean."""
    rows = np.float64(problem.gradients[0])
    mean = rows.mean(0)
    size = np.linalg.norm(mean)
    outside = max(np.linalg.norm(step - mean) / size - c, 0.0)
    return -(rows @ step).min() / size**2 if outside < SLACK else np.inf


def unfairness(problem: Problem, step: np.ndarray, alpha: float = 1.0) -> float:
    """FairGrad and Nash-MTL: how far `w_k <g_k, d>^alpha` is from the same for all tasks."""
    gains = np.maximum(problem.gradients[0] @ step, 0.0)
    shares = weights_of(problem, step) * gains**alpha
    return np.abs(shares / np.abs(shares).mean() - 1).max()


def imbalance(problem: Problem, step: np.ndarray) -> float:
    """Nash-MTL without a limit of length: how far `w_k <g_k, d>` is from 1."""
    return np.abs(weights_of(problem, step) * (problem.gradients[0] @ step) - 1).max()


def aligned(problem: Problem, scale: str) -> np.ndarray:
    """Aligned-MTL in float64, by the singular values of the gradients, `(1, P)`."""
    u, values, v = np.linalg.svd(np.float64(problem.gradients[0]), full_matrices=False)
    size = {
        "min": values[-1],
        "median": np.sort(values)[(len(values) - 1) // 2],
        "rmse": np.sqrt(np.mean(values**2)),
    }[scale]
    return size * (u @ v).mean(0, keepdims=True)


def held_apart(problem: Problem) -> bool:
    """Whether float32 holds the Gramian's least eigenvalue beside its largest."""
    values = np.linalg.svd(np.float64(problem.gradients[0]), compute_uv=False)
    return bool(values[-1] ** 2 > 1e-4 * values[0] ** 2)


def steady(run: Run) -> Callable[[Problem], bool]:
    """Whether a millionth more or less of each entry of the gradients leaves the steps as they are."""

    def sure(problem: Problem) -> bool:
        rng, found = np.random.default_rng(0), run(problem)
        moved = []
        for _ in range(3):
            parts = problem.parts * (1 + 1e-6 * rng.normal(size=problem.parts.shape))
            moved.append(run(dataclasses.replace(problem, parts=parts)) - found)
        sizes = np.linalg.norm(found, axis=1)
        return bool(np.max(np.linalg.norm(moved, axis=2) / sizes) <= 1e-4)

    return sure
