"""What a step costs here, in TorchJD and in LibMTL: the same network, batches, losses and optimizer.

Ours is compiled, theirs is PyTorch as it comes, on the CPU and on as many threads at the most: where
fewer are faster, or threads that sleep rather than spin while they wait, as on a machine that is busy
or virtual, they have these. Each framework has a process of its own, which waits while another is
timed; a round times an epoch of each, in changing order, and printed are medians over rounds. Of the
ways that TorchJD documents (all losses at once or one by one, Gramians of the whole or variable by
variable, autogram) the fastest is taken for each row.

Run: python benchmarks/peers.py [--methods cagrad nash_mtl] [--tasks 2 8]
Needs: pip install torch torchjd quadprog qpsolvers cvxpy clarabel ecos
       git clone https://github.com/median-research-group/LibMTL, on the PYTHONPATH
"""

import argparse
import importlib.util
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# No framework is imported out here, for each is to be alone in its process.

OURS, TORCHJD, LIBMTL = "ours", "TorchJD", "LibMTL"
TWICE = ("nash_mtl", "cagrad", "fairgrad")
# Milliseconds that an epoch of a peer lasts at least, unless its steps are so slow as to need fewer.
EPOCH = 300


class Problem(NamedTuple):
    """What both train.

    Attributes:
        widths: Of the trunk's layers, from the input on.
        heads: Of each head: 1 is a regression, more are classes.
        rate: Of Adam.
        x: `(steps, batch, widths[0])`.
        labels: By task, `(steps, batch)` classes or `(steps, batch, 1)` numbers.
    """

    widths: list[int]
    heads: list[int]
    rate: float
    x: np.ndarray
    labels: dict[str, np.ndarray]


# Our name of a method: TorchJD's class and its arguments (K is the number of tasks), LibMTL's class.
K = object()
METHODS: dict[str, tuple[str, dict[str, Any], str]] = {
    "equal": ("Sum", {}, "EW"),
    "uncertainty": ("UW", {"shape": K}, "UW"),
    "dwa": ("DWA", {}, "DWA"),
    "rlw": ("Random", {}, "RLW"),
    "gls": ("GeometricMean", {}, "GLS"),
    "imtl_l": ("IMTLL", {"shape": K}, ""),
    "stch": ("STCH", {"mu": 1.0}, "STCH"),
    "famo": ("FAMO", {"shape": K}, "FAMO"),
    "mgda": ("MGDA", {}, "MGDA"),
    "pcgrad": ("PCGrad", {}, "PCGrad"),
    "gradvac": ("GradVac", {"beta": 0.01}, "GradVac"),
    "cagrad": ("CAGrad", {"c": 0.5}, "CAGrad"),
    "imtl_g": ("IMTLG", {}, ""),
    "imtl": ("", {}, "IMTL"),
    "nash_mtl": ("NashMTL", {"n_tasks": K}, "Nash_MTL"),
    "aligned_mtl": ("AlignedMTL", {}, "Aligned_MTL"),
    "fairgrad": ("FairGrad", {"alpha": 2.0}, "FairGrad"),
    "graddrop": ("GradDrop", {}, ""),
    "gradnorm": ("", {}, "GradNorm"),
    "upgrad": ("UPGrad", {}, "UPGrad"),
    "dualproj": ("DualProj", {}, ""),
    "config": ("ConFIG", {}, ""),
    "krum": ("Krum", {"n_byzantine": 0}, ""),
    "trimmed_mean": ("TrimmedMean", {"trim_number": 1}, ""),
    "pcd": ("PCD", {}, ""),
    "cr_mogm": ("CRMOGMWeighting", {}, ""),
    "moco": ("", {}, "MoCo"),
    "modo": ("MoDoWeighting", {}, "MoDo"),
    "sdmgrad": ("SDMGradWeighting", {}, "SDMGrad"),
    "db_mtl": ("", {}, "DB_MTL"),
    "excess_mtl": ("ExcessMTL", {}, "ExcessMTL"),
}
# Each of LibMTL's classes takes those that are its own.
LIBMTL_OPTIONS: dict[str, Any] = {
    **{"T": 2.0, "alpha": 1.5, "calpha": 0.5, "rescale": 0, "mgda_gn": "none"},
    **{"STCH_mu": 1.0, "STCH_warmup_epoch": 4, "FairGrad_alpha": 2.0, "robust_step_size": 1e-2},
    **{"update_weights_every": 1, "optim_niter": 20, "max_norm": 1.0},
    **{"GradVac_beta": 0.01, "GradVac_group_type": 0, "FAMO_w_lr": 0.025, "FAMO_w_gamma": 1e-3},
    **{"UPGrad_norm_eps": 1e-4, "UPGrad_reg_eps": 1e-4, "DB_beta": 0.9, "DB_beta_sigma": 0.0},
    **{"MoCo_beta": 0.5, "MoCo_beta_sigma": 0.5, "MoCo_gamma": 0.1, "MoCo_gamma_sigma": 0.5},
    **{"MoCo_rho": 0.0, "MoDo_gamma": 1e-3, "MoDo_rho": 0.1},
    **{"SDMGrad_lamda": 0.3, "SDMGrad_niter": 20},
}


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

    _runs.clear()
    keras.utils.clear_session()
    try:
        _runs[OURS] = Run("mlp", k, steps, balancing.get(method)).warm()
    except Exception as error:
        # The other rows are still worth having; it is reported, in the status as well.
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


# In the process of PyTorch.


def start_torch(threads: int, waiting: str = "PASSIVE") -> None:
    """Imports PyTorch on so many threads; `waiting` is their OMP_WAIT_POLICY, "" as it comes."""
    if waiting:
        os.environ["OMP_WAIT_POLICY"] = waiting
    import torch

    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", module="cvxpy|LibMTL|torchjd|torch")
    spec = importlib.util.find_spec("LibMTL")
    if spec:
        # So that its methods are imported without its trainer, which needs torch_geometric.
        package = types.ModuleType("LibMTL")
        package.__path__ = list(spec.submodule_search_locations or [])
        sys.modules["LibMTL"] = package
        # Both were in the versions that it was written for.
        torch.symeig = lambda matrix, eigenvectors: torch.linalg.eigh(matrix)
        np.alltrue = np.all


class TorchRun:
    """The network in PyTorch, in training.

    Attributes:
        trunk: What is shared.
        heads: By task.
        backward: Runs a batch forward and backward; set by whoever makes it.
        after: What it does after a step, if anything.
        steps: In an epoch.
    """

    def __init__(self, problem: Problem, extra: Iterable[Any] = ()):
        import torch

        nn = torch.nn
        torch.manual_seed(0)
        layers = [
            layer
            for pair in itertools.pairwise(problem.widths)
            for layer in (nn.Linear(*pair), nn.ReLU())
        ]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleDict(
            {f"t{i}": nn.Linear(problem.widths[-1], n) for i, n in enumerate(problem.heads)}
        )
        self.judges = [
            nn.functional.cross_entropy if n > 1 else nn.functional.mse_loss for n in problem.heads
        ]
        parameters = [*self.trunk.parameters(), *self.heads.parameters(), *extra]
        # The fastest that there is.
        self.optimizer = torch.optim.Adam(parameters, problem.rate, eps=1e-7, fused=True)
        x, labels = (
            torch.from_numpy(problem.x),
            [torch.from_numpy(problem.labels[name]) for name in self.heads],
        )
        self.batches = itertools.cycle(list(zip(x, zip(*labels, strict=True), strict=True)))
        self.backward: Callable[[Any, Any], None]
        self.after: Callable[[Any, Any], None] | None = None
        self.steps = 3

    def losses(self, x: Any, labels: Any) -> list[Any]:
        return self.losses_of(self.trunk(x), labels)

    def losses_of(self, features: Any, labels: Any) -> list[Any]:
        return [
            judge(head(features), wanted)
            for judge, head, wanted in zip(self.judges, self.heads.values(), labels, strict=True)
        ]

    def step(self) -> None:
        x, labels = next(self.batches)
        self.optimizer.zero_grad(set_to_none=True)
        self.backward(x, labels)
        self.optimizer.step()
        if self.after:
            self.after(x, labels)

    def epoch(self) -> float:
        """Trains for an epoch; the milliseconds of a step."""
        begun = time.perf_counter()
        for _ in range(self.steps):
            self.step()
        return 1000 * (time.perf_counter() - begun) / self.steps

    def memory(self) -> float:
        """Megabytes that a step allocates at its highest, by PyTorch's own account."""
        from torch.profiler import ProfilerActivity, profile

        self.step()
        self.optimizer.zero_grad(set_to_none=True)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            self.step()
        with tempfile.TemporaryDirectory() as folder:
            seen.export_chrome_trace(f"{folder}/trace.json")
            events = json.loads(Path(f"{folder}/trace.json").read_text())["traceEvents"]
        taken = [e for e in events if e.get("name") == "[memory]"]
        taken.sort(key=lambda event: event["ts"])
        return max(itertools.accumulate(e["args"]["Bytes"] for e in taken)) / 2**20


def sum_of_losses(problem: Problem) -> TorchRun:
    """PyTorch without a peer."""
    run = TorchRun(problem)
    run.backward = lambda x, labels: sum(run.losses(x, labels)).backward()
    return run


def speed_of_sum(problem: Problem) -> float:
    """Milliseconds of a step of PyTorch without a peer."""
    run = sum_of_losses(problem)
    run.epoch()
    run.steps = 50
    return statistics.median(run.epoch() for _ in range(5))


def torchjd_runs(method: str, problem: Problem) -> dict[str, TorchRun]:
    """The ways in which TorchJD does a method, none if it does not."""
    from torchjd import aggregation, scalarization

    name, arguments, _ = METHODS[method]
    if not name:
        return {}
    found = {n: len(problem.heads) if a is K else a for n, a in arguments.items()}
    if name in scalarization.__all__:
        scalarizer = getattr(scalarization, name)(**found)
        return {"": _scalarized(problem, scalarizer, method == "famo")}
    if method in ("modo", "sdmgrad"):
        return {"": _of_parts(problem, getattr(aggregation, name)(**found))}

    def made() -> Any:
        if method == "cr_mogm":
            smoothed = aggregation.CRMOGMWeighting(aggregation.MGDAWeighting())
            return aggregation.GramianWeightedAggregator(smoothed)
        return getattr(aggregation, name)(**found)

    chunks = {"all at once": None, "one by one": 1}
    runs = {way: _aggregated(problem, made(), False, chunk) for way, chunk in chunks.items()}
    if isinstance(made(), aggregation.GramianWeightedAggregator):
        for way, chunk in chunks.items():
            runs[f"{way}, by variable"] = _aggregated(problem, made(), True, chunk)
        runs["autogram"] = _by_autogram(problem, made().gramian_weighting)
    return runs


def _scalarized(problem: Problem, scalarizer: Any, told_again: bool) -> TorchRun:
    import torch

    run = TorchRun(problem, [] if told_again else scalarizer.parameters())
    run.backward = lambda x, labels: scalarizer(torch.stack(run.losses(x, labels))).backward()

    def tell(x: Any, labels: Any) -> None:
        with torch.no_grad():
            scalarizer.update(torch.stack(run.losses(x, labels)))

    run.after = tell if told_again else None
    return run


def _aggregated(
    problem: Problem, aggregator: Any, by_variable: bool, chunk: int | None
) -> TorchRun:
    from torchjd.autojac import jac_to_grad, mtl_backward

    run = TorchRun(problem)
    shared = list(run.trunk.parameters())
    summed = {"optimize_gramian_computation": True} if by_variable else {}

    def backward(x: Any, labels: Any) -> None:
        features = run.trunk(x)
        losses = run.losses_of(features, labels)
        mtl_backward(losses, features=features, parallel_chunk_size=chunk)
        jac_to_grad(shared, aggregator, **summed)

    run.backward = backward
    return run


def _by_autogram(problem: Problem, weighting: Any) -> TorchRun:
    import torch
    from torchjd.autogram import Engine

    run = TorchRun(problem)
    engine = Engine(run.trunk, batch_dim=None)

    def backward(x: Any, labels: Any) -> None:
        losses = torch.stack(run.losses(x, labels))
        losses.backward(weighting(engine.compute_gramian(losses)))

    run.backward = backward
    return run


def _of_parts(problem: Problem, weighting: Any) -> TorchRun:
    """Thirds of the batch, as ours: two for the inner products, one for the step."""
    import torch
    from torchjd.autojac import jac

    run = TorchRun(problem)
    shared = list(run.trunk.parameters())

    def backward(x: Any, labels: Any) -> None:
        *pair, last = _thirds(x, labels)
        jacobians = (jac(run.losses(*part), shared) for part in pair)
        one, other = (torch.cat([j.flatten(1) for j in found], 1) for found in jacobians)
        torch.stack(run.losses(*last)).backward(weighting(one @ other.T))

    run.backward = backward
    return run


def _thirds(x: Any, labels: Any) -> list[tuple[Any, Any]]:
    parts = zip(*(wanted.tensor_split(3) for wanted in labels), strict=True)
    return list(zip(x.tensor_split(3), parts, strict=True))


def libmtl_runs(method: str, problem: Problem) -> dict[str, TorchRun]:
    """The one way in which LibMTL does a method, none if it does not."""
    import torch
    from LibMTL import weighting

    name = METHODS[method][2]
    if not name:
        return {}
    # Some of them look for their own name among the bases of their class.
    balancer = type("Balancer", (getattr(weighting, name),), {})()
    run = TorchRun(problem)
    k = len(problem.heads)
    balancer.task_num, balancer.task_name, balancer.device = k, list(run.heads), "cpu"
    balancer.rep_grad, balancer.encoder, balancer.decoders = False, run.trunk, run.heads
    balancer.get_share_params = run.trunk.parameters
    balancer.zero_grad_share_params = lambda: run.trunk.zero_grad(set_to_none=False)
    # As in the sixth epoch, when every method does what it is for.
    balancer.epoch, balancer.train_loss_buffer = 5, np.ones((k, 6))
    balancer.init_param()
    if method == "stch":
        balancer.nadir_vector = torch.ones(k)
    learnt = [p for n, p in balancer.named_parameters(recurse=False) if n == "loss_scale"]
    if learnt:
        run.optimizer.add_param_group({"params": learnt})

    def backward(x: Any, labels: Any) -> None:
        if method in ("modo", "sdmgrad"):
            losses = torch.stack([torch.stack(run.losses(*part)) for part in _thirds(x, labels)])
        else:
            losses = torch.stack(run.losses(x, labels))
        balancer.backward(losses, **LIBMTL_OPTIONS)

    def tell(x: Any, labels: Any) -> None:
        with torch.no_grad():
            balancer.update_w(torch.stack(run.losses(x, labels)))

    run.backward, run.after = backward, tell if method == "famo" else None
    return {"": run}


PEERS = {TORCHJD: torchjd_runs, LIBMTL: libmtl_runs}


def prepare_peer(peer: str, method: str, problem: Problem) -> str:
    """Makes the fastest way of a peer ready to be timed, and says which it is, or why it is none."""
    _runs.pop(peer, None)
    speeds, why = {}, "does not have it"
    try:
        runs = PEERS[peer](method, problem)
        for way, run in runs.items():
            run.epoch()
            speeds[way] = run.epoch()
            run.steps = int(min(len(problem.x), max(5, EPOCH / speeds[way])))
            speeds[way] = min(speeds[way], run.epoch())
    except Exception as error:
        # A method that a peer cannot do for so many tasks is no reason to stop; it is reported.
        why = f"{type(error).__name__}: {error}".splitlines()[0]
    if speeds:
        why = min(speeds, key=lambda way: speeds[way])
        _runs[peer] = runs[why]
    return why


def torch_memory(method: str, problem: Problem) -> dict[str, float]:
    """Megabytes of a step: of the sum of losses, and of each peer, in its most sparing way."""
    found = {"sum": sum_of_losses(problem).memory()}
    for peer, ways in PEERS.items():
        try:
            found[peer] = min(run.memory() for run in ways(method, problem).values())
        except (ImportError, ValueError):
            found[peer] = float("nan")
    return found


# In either.

# What this process trains, by name.
_runs: dict[str, Any] = {}


def epoch(name: str) -> float | None:
    """The milliseconds of a step, None if there is no such run here."""
    return _runs[name].epoch() if name in _runs else None


def process_of(start: Callable[..., None], *given: Any) -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=spawn, initializer=start, initargs=given)


# In the one that prints.


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
