"""What a step of every balancer costs, over stock Keras and over the least that it can cost.

The least is the same step with nothing to decide (`bound_of`): for a loss balancer one pass of equal
weights, for the others a forward pass and K backward passes through the trunk, whose gradients are
multiplied with each other and added up. A method that by its nature does more, keeping gradients or
telling parts of a batch apart, has a bound that does so too, of which the time over stock Keras is
printed as well. What a method costs beyond is its solver. The goal is 1.10.

All models of a group are in memory at once and are trained in turn, an epoch at a time, each beside
its bound and stock Keras, whose times in the same round it is divided by. Printed are medians over
rounds; what `equal` shows beside its bound, which it is, is noise. On a machine that is not at rest
`--clock cpu` counts the seconds of all cores instead, which others disturb less.

Every model is compiled with XLA once, which takes most of the time: about 3 seconds with two tasks
and 12 with sixteen. The whole table takes an hour or more on two cores.

Run: python benchmarks/balancers.py [--methods pcgrad mgda] [--tasks 2 8] [--families mlp]
"""

import argparse
import gc
import itertools
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops
from steps import Run, say, step_memory

from keras_mtl import balancing

GOAL = 1.10
STOCK = "stock"
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
# How many methods are timed beside one timing of their bound.
BESIDE = 6
# How many heads of compiled models are in memory at once; from more on XLA finds no room for code.
HEADS = 400


class Ones(balancing.GramianBalancer):
    """Weights of 1, whatever the Gramian."""

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        return ops.ones_like(losses)


class Total(balancing.GradientBalancer):
    """The sum of the gradients."""

    def combine(self, gradients: Any, present: Any) -> Any:
        return ops.sum(gradients, axis=0)


class Parted(balancing.SplitBalancer):
    """Weights of 1 for each part of the batch that another balancer weighs."""

    def __init__(self, other: balancing.SplitBalancer):
        super().__init__()
        self.parts, self._other = other.parts, other

    @property
    def compared(self) -> Sequence[tuple[int, int]]:
        return self._other.compared

    @property
    def stepped(self) -> Sequence[int]:
        return self._other.stepped

    def task_weights(self, products: Any, losses: Any, present: Any) -> Any:
        return ops.ones(products.shape[:2])


class Kept(balancing.FollowingBalancer):
    """Weights of 1 of the moving means of the gradients."""

    def follow(self, gradients: Any, kept: Any, norms: Any, losses: Any) -> Any:
        mean = kept + 0.1 * (gradients - kept)
        return balancing.Followed(mean, mean, mean)

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        return ops.ones_like(losses)


class Twice(balancing.Equal):
    """Equal weights, told the losses after the step."""

    needs_losses_after_step = True

    def make_state(self, k: int) -> None:
        self.after = self.vector("after")

    def after_step(self, losses: Any, present: Any) -> None:
        self.after.assign(losses)


def bound_of(balancer: balancing.Balancer) -> tuple[str, balancing.Balancer]:
    """What does the work that a balancer cannot do without, and its name."""
    if balancer.needs_losses_after_step:
        return "equal, and forward again", Twice()
    if balancer.needs == "losses":
        return "equal", balancing.Equal()
    if balancer.needs == "gradients":
        return "sum of K gradients", Total()
    if balancer.keeps:
        return "means of K gradients over steps", Kept()
    if balancer.parts == 1:
        return "K gradients and their Gramian", Ones()
    pairs = len(balancer.compared)
    return f"K gradients of {balancer.parts} parts, {pairs} compared", Parted(balancer)


class Group:
    """Stock Keras, balancers and their bounds on one network.

    Attributes:
        runs: By name.
        bounds: The name of each method's bound.
        failures: Why a method does not run, by name.
    """

    def __init__(
        self,
        family: str,
        k: int,
        steps: int,
        methods: Sequence[str],
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.family, self.k = family, k
        self.runs = {STOCK: Run(family, k, steps, clock=clock).warm()}
        self.bounds: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        for method in methods:
            try:
                balancer = balancing.get(method)
                bound, least = bound_of(balancer)
                name = f"bound: {bound}"
                if name not in self.runs:
                    self.runs[name] = Run(family, k, steps, least, clock).warm()
                self.runs[method] = Run(family, k, steps, balancer, clock).warm()
                self.bounds[method] = name
            except Exception as error:
                # The others are still worth timing; `main` reports it, in its status as well.
                self.failures[method] = f"{type(error).__name__}: {error}".splitlines()[0]

    def beside(self, shuffled: random.Random) -> Iterator[list[str]]:
        """The methods, a few of one bound at a time, in an order of their own at each call."""
        by_bound = defaultdict(list)
        for method, bound in self.bounds.items():
            by_bound[bound].append(method)
        few = []
        for bound, methods in by_bound.items():
            shuffled.shuffle(methods)
            few += [[bound, *methods[i : i + BESIDE]] for i in range(0, len(methods), BESIDE)]
        shuffled.shuffle(few)
        yield from few

    def timed(self, rounds: int) -> dict[str, list[tuple[float, float, float]]]:
        """By name, of each round: milliseconds a step, over stock, and over the bound."""
        found = defaultdict(list)
        shuffled = random.Random(0)
        for _ in range(rounds):
            for bound, *methods in self.beside(shuffled):
                order = [STOCK, bound, *methods]
                shuffled.shuffle(order)
                spent = {name: self.runs[name].epoch() for name in order}
                for name in order:
                    ms = spent[name]
                    found[name].append((ms, ms / spent[STOCK], ms / spent[bound]))
        return found


def quartiles(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "-"
    low, _, high = statistics.quantiles(values, n=4)
    return f"{low:.2f} - {high:.2f}"


def report(group: Group, found: dict[str, list[tuple[float, float, float]]]) -> dict[str, float]:
    """Prints a group's rows; each method's time over its bound."""
    over = {}
    names = [STOCK, *sorted(set(group.bounds.values())), *sorted(group.bounds)]
    for name in names:
        ms, stock, bound = (statistics.median(column) for column in zip(*found[name], strict=True))
        start = f"{group.family:6}  {group.k:2}  {name:44}  {ms:8.2f}  {stock:10.2f}"
        if name in group.bounds:
            over[name] = bound
            say(f"{start}  {bound:10.2f}  {quartiles([row[2] for row in found[name]]):>11}")
        else:
            say(start)
    for name, why in group.failures.items():
        say(f"{group.family:6}  {group.k:2}  {name:44}  does not run: {why}")
    return over


def verdict(worst: dict[str, tuple[float, str]]) -> None:
    """Prints each method's worst time over its bound, the dearest first."""
    say(f"\nWorst over the bound, of which {GOAL:.2f} is the goal")
    for method, (ratio, where) in sorted(worst.items(), key=lambda item: -item[1][0]):
        misses = "misses" if ratio > GOAL else ""
        say(f"{method:20}  {ratio:6.2f}  {where:12}  {misses:6}".rstrip())
    missing = sum(ratio > GOAL for ratio, _ in worst.values())
    say(f"{missing} of {len(worst)} methods miss it.")


def memory(families: Sequence[str], k: int) -> None:
    """Prints what K gradients cost in memory, in one table."""
    say(f"\nMegabytes of activations and gradients in a step, K = {k} (XLA's own account)")
    say(f"{'family':6}  {'stock':>8}  {'equal':>8}  {'features':>8}  {'parameters':>10}")
    for family in families:
        sizes = [
            step_memory(family, k, None),
            step_memory(family, k, "equal"),
            step_memory(family, k, "mgda", "features"),
            step_memory(family, k, "mgda"),
        ]
        stock, equal, features, parameters = sizes
        say(f"{family:6}  {stock:8.1f}  {equal:8.1f}  {features:8.1f}  {parameters:10.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=balancing.names())
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--families", nargs="+", default=["mlp", "cnn"], choices=["mlp", "cnn"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60, help="steps in an epoch")
    parser.add_argument("--clock", default="wall", choices=CLOCKS)
    parser.add_argument("--memory", type=int, default=8, help="tasks to weigh; 0 for none")
    arguments = parser.parse_args()

    failed, worst = False, {}
    say(
        f"{'family':6}  {'K':>2}  {'method':44}  {'ms a step':>9}  {'over stock':>10}  "
        f"{'over bound':>10}  {'quartiles':>11}"
    )
    clock = CLOCKS[arguments.clock]
    for family, k in itertools.product(arguments.families, arguments.tasks):
        few = max(HEADS // k, 1)
        for start in range(0, len(arguments.methods), few):
            begun = time.perf_counter()
            methods = arguments.methods[start : start + few]
            group = Group(family, k, arguments.steps, methods, clock)
            compiled = time.perf_counter() - begun
            found = group.timed(arguments.rounds)
            for method, ratio in report(group, found).items():
                worst[method] = max(worst.get(method, (0.0, "")), (ratio, f"{family} K = {k}"))
            failed = failed or bool(group.failures)
            say(
                f"{'':10}  ({len(group.runs)} models compiled in {compiled:.0f} s, timed in "
                f"{time.perf_counter() - begun - compiled:.0f} s)"
            )
            del group, found
            keras.utils.clear_session()
            gc.collect()
    verdict(worst)
    if arguments.memory:
        memory(arguments.families, arguments.memory)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
