"""What a step costs here, in TorchJD and in LibMTL: the same network, batches, losses and optimizer.

Ours is compiled, theirs is PyTorch as it comes, on the CPU and on as many threads at the most: where
fewer are faster, or threads that sleep rather than spin while they wait, as on a machine that is busy
or virtual, they have these. Each framework has a process of its own, which waits while another is
timed; a round times an epoch of each, in changing order, and printed are medians over rounds.

Run: python benchmarks/peers.py [--methods cagrad nash_mtl] [--tasks 2 8]
Needs: pip install torch torchjd quadprog qpsolvers cvxpy clarabel ecos
       git clone https://github.com/median-research-group/LibMTL, on the PYTHONPATH
"""

import argparse
import importlib.util
import multiprocessing
import os
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from torch_steps import (
    LIBMTL,
    METHODS,
    PEERS,
    TORCHJD,
    Problem,
    epoch,
    prepare_peer,
    speed_of_sum,
    start_torch,
    torch_memory,
    trained,
)

# No framework is imported out here, for each is to be alone in its process.

OURS = "ours"
TWICE = ("nash_mtl", "cagrad", "fairgrad")


# In our process.


def problem_of(k: int, steps: int) -> Problem:
    from steps import CLASSES, DEPTH, RATE, SHAPES, WIDTH, classifies, rows

    heads = [CLASSES if classifies("mlp", i) else 1 for i in range(k)]
    return Problem([*SHAPES["mlp"], *[WIDTH] * DEPTH], heads, RATE, *rows("mlp", k, steps))


def known_methods() -> list[str]:
    from keras_mtl import balancing

    return balancing.names()


def start_ours(threads: int) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def prepare_ours(method: str, k: int, steps: int) -> str:
    """Makes ours ready to be timed; why it does not run, if so."""
    import keras
    from steps import Run

    from keras_mtl import balancing

    trained.clear()
    keras.utils.clear_session()
    try:
        trained[OURS] = Run("mlp", k, steps, balancing.get(method)).warm()
    except Exception as error:
        # The other rows are still worth having; it is reported, in the status as well.
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


# In the one that prints.


def process_of(start: Callable[..., None], *given: Any) -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=spawn, initializer=start, initargs=given)


def importable_peers() -> list[str]:
    """The peers that are here; of another it says how to get it."""
    wanted = {
        TORCHJD: (("torch", "torchjd"), "pip install torch torchjd quadprog qpsolvers cvxpy ecos"),
        LIBMTL: (
            ("torch", "LibMTL", "cvxpy", "qpsolvers"),
            "git clone https://github.com/median-research-group/LibMTL, put it on the PYTHONPATH, "
            "and pip install torch scipy cvxpy ecos qpsolvers quadprog",
        ),
    }
    here = []
    for peer, (modules, how) in wanted.items():
        if all(importlib.util.find_spec(name) for name in modules):
            here.append(peer)
        else:
            print(f"Without {peer}: {how}")
    return here


def fastest_threads(problem: Problem, threads: int) -> tuple[int, str]:
    """How PyTorch is fastest here: on how many threads, and how they wait."""
    speeds = {}
    for given in dict.fromkeys([(1, "PASSIVE"), (threads, "PASSIVE"), (threads, "")]):
        with process_of(start_torch, *given) as process:
            speeds[given] = process.submit(speed_of_sum, problem).result()
    return min(speeds, key=lambda given: speeds[given])


def timed(
    processes: dict[str, ProcessPoolExecutor], names: Sequence[str], rounds: int
) -> dict[str, list[float]]:
    """Milliseconds of each in every round; each goes first in turn."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        turn = i % len(names)
        for name in (*names[turn:], *names[:turn]):
            found[name].append(processes[name].submit(epoch, name).result())
    return found


def row(method: str, k: int, found: dict[str, list[float]], peers: Sequence[str]) -> float | None:
    """Prints a row; the faster peer's time over ours."""
    ms = {name: statistics.median(spent) for name, spent in found.items()}
    cells = "  ".join(f"{ms[name]:8.2f}" if name in ms else f"{'-':>8}" for name in (OURS, *PEERS))
    present = [peer for peer in peers if peer in ms]
    if not present:
        print(f"{method:13}  {k:2}  {cells}  {'-':>6}", flush=True)
        return None
    faster = min(present, key=lambda peer: ms[peer])
    gain = statistics.median(b / a for a, b in zip(found[OURS], found[faster], strict=True))
    print(f"{method:13}  {k:2}  {cells}  {gain:6.2f}  {faster}", flush=True)
    return gain


def verdict(gains: dict[tuple[str, int], float]) -> None:
    """Prints which rows miss the goals: no slower than any peer, and twice as fast where they solve."""
    goals = [
        ("Faster than the faster peer", 1.0, list(gains)),
        ("Twice as fast where it solves", 2.0, [g for g in gains if g[0] in TWICE]),
    ]
    for words, goal, rows in goals:
        missed = [f"{m} at K = {k} ({gains[m, k]:.2f})" for m, k in rows if gains[m, k] < goal]
        print(f"{words}: {len(rows) - len(missed)} of {len(rows)} rows", end="")
        print(f"; not {', '.join(missed)}." if missed else ".")


def memory(method: str, problems: dict[int, Problem]) -> None:
    """Prints what a step takes, of us as XLA accounts for it, of them as PyTorch does."""
    from steps import step_memory

    print(
        f"\nMegabytes of activations and gradients in a step of {method}, by XLA's and PyTorch's own "
        f"account\n(ours of parameters and of features, {TORCHJD} in its most sparing way)"
    )
    print(f"{'K':>2}  {'Keras':>8}  {'PyTorch':>8}  {'ours':>8}  {'features':>8}  ", end="")
    print(f"{TORCHJD:>8}  {LIBMTL:>8}")
    for k, problem in problems.items():
        with process_of(start_torch, 1) as torch_process:
            theirs = torch_process.submit(torch_memory, method, problem).result()
        sizes = [
            step_memory("mlp", k, None),
            theirs["sum"],
            step_memory("mlp", k, method),
            step_memory("mlp", k, method, "features"),
            theirs[TORCHJD],
            theirs[LIBMTL],
        ]
        print(f"{k:2}  " + "  ".join(f"{size:8.1f}" for size in sizes), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=100, help="steps in an epoch, theirs at most")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--memory", default="mgda", help="the method that is weighed; '' for none")
    arguments = parser.parse_args()
    peers = importable_peers()
    if not peers:
        return 1

    failed, gains, notes, problems = False, {}, [], {}
    print(f"{'method':13}  {'K':>2}  {'ours ms':>8}  {TORCHJD:>8}  {LIBMTL:>8}  {'gain':>6}  over")
    for k in arguments.tasks:
        with process_of(start_ours, arguments.threads) as ours:
            known = ours.submit(known_methods).result()
            problems[k] = problem = ours.submit(problem_of, k, arguments.steps).result()
            given = fastest_threads(problem, arguments.threads)
            theirs = process_of(start_torch, *given)
            notes.append(
                ("PyTorch", "", k, f"{given[0]} of {arguments.threads} threads {given[1]}")
            )
            for method in arguments.methods:
                if method not in known:
                    continue
                why = ours.submit(prepare_ours, method, k, arguments.steps).result()
                if why:
                    failed = True
                    print(f"{method:13}  {k:2}  does not run: {why}", flush=True)
                    continue
                names = [OURS]
                for peer in peers:
                    way = theirs.submit(prepare_peer, peer, method, problem).result()
                    if theirs.submit(epoch, peer).result() is not None:
                        names.append(peer)
                    if way:
                        notes.append((peer, method, k, way))
                processes = dict.fromkeys(PEERS, theirs) | {OURS: ours}
                gain = row(method, k, timed(processes, names, arguments.rounds), peers)
                if gain is not None:
                    gains[method, k] = gain
            theirs.shutdown()
    print()
    verdict(gains)
    print("\nHow the peers did it, or why they did not")
    for peer, method, k, way in notes:
        print(f"{peer:8}  {method:13}  {k:2}  {way}")
    if arguments.memory:
        memory(arguments.memory, problems)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
