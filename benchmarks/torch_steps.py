"""Training steps of PyTorch, TorchJD and LibMTL, to be timed and weighed in a process of their own.

Of the ways that TorchJD documents (all losses at once or one by one, Gramians of the whole or variable
by variable, autogram) the fastest is taken. No framework is imported before it is asked for: this file
is also read where TensorFlow runs.
"""

import importlib.util
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TORCHJD, LIBMTL = "TorchJD", "LibMTL"
# Milliseconds that an epoch of a peer lasts at least, unless its steps are so slow as to need fewer.
EPOCH = 300
# What a process trains, by name.
trained: dict[str, Any] = {}


def epoch(name: str) -> float | None:
    """The milliseconds of a step, None if this process trains no such thing."""
    return trained[name].epoch() if name in trained else None


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
    trained.pop(peer, None)
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
        trained[peer] = runs[why]
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
