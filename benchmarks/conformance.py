"""Whether each balancer gives the step that other libraries give: TorchJD 0.18 and LibMTL.

Both are handed the same 200 problems, in float32: 2 to 8 gradients of 20 to 50 entries, a third of
them plain Gaussian, a third in conflict, a third of lengths from 1/100 to 100. Methods with a memory
get 63 sequences of four steps instead, and methods that draw get the same draws. Compared is the
combined gradient.

A peer is first called as it comes, its hyper-parameters being ours. Where that differs by more than
a thousandth, it is called again with what is known to be different put right: a factor, a setting, a
precision, or what it does otherwise than the paper. Where its solver is less exact, both are judged
by what the paper minimises. Every verdict is computed; one that says DIFFERS makes the status 1.

Run: python benchmarks/conformance.py [--only METHOD ...]
Needs: pip install torchjd quadprog qpsolvers cvxpy clarabel ecos
       git clone https://github.com/median-research-group/LibMTL, on the PYTHONPATH
"""

import argparse
import dataclasses
import functools
import importlib.util
import os
import sys
import textwrap
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from combined_gradients import (
    SLACK,
    STEPS,
    Problem,
    Run,
    aggregator,
    aligned,
    descend,
    held_apart,
    imbalance,
    learn_scale,
    length,
    method,
    normalised_length,
    ours,
    scalarizer,
    split_weighting,
    steady,
    unfairness,
    worst_gain,
)

from keras_mtl import balancing

TORCHJD, LIBMTL = "TorchJD 0.18", "LibMTL"
PROBLEMS, SEQUENCES, TOLERANCE = 200, 63, 1e-3


# Rows of the table, and their verdicts.


@dataclasses.dataclass(frozen=True)
class Row:
    """A method beside a peer.

    Attributes:
        method: Its name here, and an option that is not the default.
        peer: Whose.
        ours: Our steps.
        theirs: The peer's, as it comes.
        mended: The peer's with what is known to be different put right.
        mend: What that is, as a clause after "once".
        aim: What the paper minimises, of a problem and a combined gradient.
        measure: What `aim` measures.
        exact: The steps in float64, where float32 does not hold them in all problems.
        sure: In which problems it does.
        rest: Which the others are, as a clause.
        fits: Which problems the peer takes.
        count: How many at the most; by default PROBLEMS, and SEQUENCES of several steps.
        since: The first step to compare.
    """

    method: str
    peer: str
    ours: Run
    theirs: Run
    mended: Run | None = None
    mend: str = ""
    aim: Callable[[Problem, np.ndarray], float] | None = None
    measure: str = ""
    exact: Run | None = None
    sure: Callable[[Problem], bool] = lambda problem: True
    rest: str = ""
    fits: Callable[[Problem], bool] = lambda problem: True
    count: int | None = None
    since: int = 0


def differences(row: Row, run: Run, problems: list[Problem], than: Run | None = None) -> np.ndarray:
    """`|ours - theirs| / |theirs|`, the largest over the steps of each problem; inf for NaN."""
    worst = []
    for problem in problems:
        left = (than or row.ours)(problem)[row.since :]
        right = run(problem)[row.since :]
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = np.linalg.norm(left - right, axis=1) / np.linalg.norm(right, axis=1)
        worst.append(np.nan_to_num(apart, nan=np.inf, posinf=np.inf).max())
    return np.array(worst)


def judge(row: Row, problems: list[Problem]) -> tuple[int, float, float | None, str]:
    """How many problems, the worst difference as it comes and mended, and the verdict."""
    count = row.count or (PROBLEMS if len(row.ours(problems[-1])) == 1 else SEQUENCES)
    problems = [p for p in problems if row.fits(p)][:count]
    n, plain = len(problems), differences(row, row.theirs, problems)
    if plain.max() <= TOLERANCE:
        return n, plain.max(), None, "agrees"
    run, mended, once = row.theirs, plain, ""
    if row.mended is not None:
        run, mended, once = row.mended, differences(row, row.mended, problems), f"once {row.mend}"
        if mended.max() <= TOLERANCE:
            return n, plain.max(), mended.max(), f"agrees {once}"
    held = (mended <= TOLERANCE).sum()
    verdict = f"DIFFERS in {n - held} of {n} {once}".strip()
    if row.aim is not None:
        left, right = np.array([[row.aim(p, f(p)[0]) for f in (row.ours, run)] for p in problems]).T
        if np.all((mended <= TOLERANCE) | (left <= right + SLACK)):
            verdict = (
                f"agrees in {held} {once}".strip() + f"; by {row.measure} ours is better in "
                f"{np.sum(left < right - SLACK)} of {n}, by up to {(right - left).max():.2g}, and "
                "worse in none that differs"
            )
    if row.exact is not None:
        sure = np.array([row.sure(p) for p in problems])
        hard = [p for p, s in zip(problems, sure, strict=True) if not s]
        if sure.any() and mended[sure].max() <= TOLERANCE:
            left, right = (differences(row, row.exact, hard, f) for f in (row.ours, run))
            verdict = (
                f"agrees in {sure.sum()} {once}".strip() + f"; in the {len(hard)} {row.rest}, "
                f"the median distance from float64 is {np.median(left):.2g} for ours and "
                f"{np.median(right):.2g} for theirs"
            )
    return n, plain.max(), mended.max() if row.mended is not None else None, verdict


def by_gramian() -> Iterator[Row]:
    """Methods that weigh gradients, and keep nothing."""
    unridged = (
        "its reg_eps is 0: on the diagonal of the Gramian over its trace, its 1e-4 outweighs short "
        "gradients"
    )

    def projector() -> Any:
        from torchjd.linalg import QuadprogProjector

        return QuadprogProjector(norm_eps=0.0, reg_eps=0.0)

    mgda = ours(lambda p: balancing.MGDA())
    frank_wolfe = {"aim": length, "measure": "the length of the step over the shortest gradient's"}
    yield Row("mgda", TORCHJD, mgda, aggregator(lambda jd, p: jd.MGDA()), **frank_wolfe)
    yield Row("mgda", LIBMTL, mgda, method("MGDA", mgda_gn="none"), **frank_wolfe)
    yield Row(
        "mgda, loss+",
        LIBMTL,
        ours(lambda p: balancing.MGDA("loss+")),
        method("MGDA", mgda_gn="loss+"),
        method("MGDA", mgda_gn="loss+", returned=True),
        "its weights are put on the gradients: it steps along normalised ones, where the paper's "
        "code normalises to find weights alone",
        normalised_length,
        "the length of the combination that is normalised",
        count=SEQUENCES,
    )
    upgrad = ours(lambda p: balancing.UPGrad())
    yield Row(
        "upgrad",
        TORCHJD,
        upgrad,
        aggregator(lambda jd, p: jd.UPGrad()),
        aggregator(lambda jd, p: jd.UPGrad(projector=projector())),
        unridged,
    )
    ridge = {"UPGrad_norm_eps": 1e-4, "UPGrad_reg_eps": 1e-4}
    yield Row(
        "upgrad",
        LIBMTL,
        upgrad,
        method("UPGrad", **ridge),
        method("UPGrad", **dict.fromkeys(ridge, 0.0)),
        unridged,
    )
    yield Row(
        "dualproj",
        TORCHJD,
        ours(lambda p: balancing.DualProj()),
        aggregator(lambda jd, p: jd.DualProj()),
        aggregator(lambda jd, p: jd.DualProj(projector=projector())),
        unridged,
    )
    cagrad = ours(lambda p: balancing.CAGrad(c=0.5))
    gain = {"aim": worst_gain, "measure": "the negated least gain over |g_0|^2"}
    yield Row(
        "cagrad",
        TORCHJD,
        cagrad,
        aggregator(lambda jd, p: jd.CAGrad(0.5)),
        aggregator(lambda jd, p: jd.CAGrad(0.5, norm_eps=0.0), double=True),
        "its norm_eps is 0 (it stands still where |g_w| is under 1e-4 of |J|, the paper does not) and "
        "it is in float64",
        **gain,
    )
    yield Row(
        "cagrad",
        LIBMTL,
        cagrad,
        method("CAGrad", calpha=0.5, rescale=1),
        method("CAGrad", calpha=0.5, rescale=0),
        "its rescale is 0: it divides by 1 + c^2, Algorithm 1 does not",
        **gain,
    )
    imtl_g = ours(lambda p: balancing.IMTLG())
    yield Row(
        "imtl_g",
        TORCHJD,
        imtl_g,
        aggregator(lambda jd, p: jd.IMTLG()),
        aggregator(lambda jd, p: jd.IMTLG(), double=True),
        "it is in float64: in float32 its pseudo-inverse of the Gramian drops short gradients",
    )
    yield Row(
        "imtl_g",
        LIBMTL,
        imtl_g,
        method("IMTL"),
        method("IMTL", double=True),
        "it is in float64: it inverts D U^T, which float32 does not bear for short gradients",
    )
    for scale in ("min", "median", "rmse"):
        aligned_mtl = ours(lambda p, scale=scale: balancing.AlignedMTL(scale))
        hard = {
            "exact": functools.partial(aligned, scale=scale),
            "sure": held_apart,
            "rest": "whose least eigenvalue is under 1e-4 of the largest, which float32 blurs",
        }
        yield Row(
            "aligned_mtl" if scale == "min" else f"aligned_mtl, {scale}",
            TORCHJD,
            aligned_mtl,
            aggregator(lambda jd, p, scale=scale: jd.AlignedMTL(scale_mode=scale)),
            **hard,
        )
        if scale == "min":
            yield Row(
                "aligned_mtl",
                LIBMTL,
                aligned_mtl,
                method("Aligned_MTL"),
                method("Aligned_MTL", times=lambda p: 1 / p.k),
                "divided by K: it takes the sum of the aligned gradients, ours their mean",
                **hard,
            )
    yield Row(
        "config", TORCHJD, ours(lambda p: balancing.ConFIG()), aggregator(lambda jd, p: jd.ConFIG())
    )
    fairgrad = ours(lambda p: balancing.FairGrad(alpha=2.0))
    fair = {
        "aim": functools.partial(unfairness, alpha=2.0),
        "measure": "how far w (G w)^2 is from one number",
    }
    yield Row("fairgrad", TORCHJD, fairgrad, aggregator(lambda jd, p: jd.FairGrad(2.0)), **fair)
    yield Row("fairgrad", LIBMTL, fairgrad, method("FairGrad", FairGrad_alpha=2.0), **fair)
    options = {"update_weights_every": 1, "optim_niter": 20}
    for name, limit, aim, goal in (
        ("nash_mtl", 1.0, unfairness, "one number"),
        ("nash_mtl, max_norm 0", 0.0, imbalance, "1"),
    ):
        nash = ours(lambda p, limit=limit: balancing.NashMTL(max_norm=limit))
        bargain = {"aim": aim, "measure": f"how far w (G w) is from {goal}", "count": SEQUENCES}
        yield Row(
            name,
            TORCHJD,
            nash,
            aggregator(lambda jd, p, limit=limit: jd.NashMTL(p.k, max_norm=limit)),
            **bargain,
        )
        yield Row(name, LIBMTL, nash, method("Nash_MTL", max_norm=limit, **options), **bargain)
    pcgrad = ours(lambda p: balancing.PCGrad())
    yield Row("pcgrad", TORCHJD, pcgrad, aggregator(lambda jd, p: jd.PCGrad()))
    yield Row("pcgrad", LIBMTL, pcgrad, method("PCGrad"))
    yield Row(
        "krum, 2 of K - 1",
        TORCHJD,
        ours(lambda p: balancing.Krum(byzantine=1, selected=2)),
        aggregator(lambda jd, p: jd.Krum(1, 2)),
        aggregator(
            lambda jd, p: jd.Krum(1, 2), patch=lambda: mock.patch("torch.sqrt", lambda x: x)
        ),
        "the distances that it adds up are squared, as in the paper",
        fits=lambda p: p.k >= 5,
    )


def by_entry() -> Iterator[Row]:
    """Methods that look at each entry of the gradients."""
    import torch

    graddrop = ours(lambda p: balancing.GradDrop(leak=0.2))
    yield Row(
        "graddrop",
        TORCHJD,
        graddrop,
        aggregator(lambda jd, p: jd.GradDrop(leak=torch.full((p.k,), 0.2))),
    )
    yield Row("graddrop", LIBMTL, graddrop, method("GradDrop", features=True, leak=0.2))
    yield Row(
        "trimmed_mean",
        TORCHJD,
        ours(lambda p: balancing.TrimmedMean(1)),
        aggregator(lambda jd, p: jd.TrimmedMean(1)),
        fits=lambda p: p.k >= 3,
    )


def by_losses() -> Iterator[Row]:
    """Methods that look at losses alone."""
    import torch

    equal = ours(lambda p: balancing.Equal())
    yield Row("equal", TORCHJD, equal, scalarizer(lambda jd, p: jd.Sum()))
    yield Row("equal", LIBMTL, equal, method("EW"))
    yield Row(
        "static",
        TORCHJD,
        ours(lambda p: balancing.Static(p.preferences)),
        scalarizer(lambda jd, p: jd.Constant(torch.tensor(p.preference))),
    )
    gls = ours(lambda p: balancing.GLS())
    yield Row("gls", TORCHJD, gls, scalarizer(lambda jd, p: jd.GeometricMean()))
    yield Row("gls", LIBMTL, gls, method("GLS"))
    rlw = ours(lambda p: balancing.RLW())
    sums = "multiplied by K: its weights sum to 1 as in the paper, ours to K"
    yield Row(
        "rlw",
        TORCHJD,
        rlw,
        scalarizer(lambda jd, p: jd.Random()),
        scalarizer(lambda jd, p: jd.Random(), times=lambda p: p.k),
        sums,
    )
    yield Row("rlw", LIBMTL, rlw, method("RLW"), method("RLW", times=lambda p: p.k), sums)
    dwa = ours(lambda p: balancing.DWA(), STEPS)
    yield Row(
        "dwa",
        TORCHJD,
        dwa,
        scalarizer(lambda jd, p: jd.DWA(), STEPS, after=lambda made, p, step: made.step()),
    )
    yield Row("dwa", LIBMTL, dwa, method("DWA", STEPS, T=2.0))
    uncertainty = ours(lambda p: balancing.Uncertainty(), STEPS)
    form = (
        "handed twice the losses: it has L / (2 sigma^2), the paper's equation for regression, ours "
        "L / sigma^2, that for classification"
    )
    yield Row(
        "uncertainty",
        TORCHJD,
        uncertainty,
        scalarizer(lambda jd, p: jd.UW(p.k), STEPS),
        scalarizer(lambda jd, p: jd.UW(p.k), STEPS, read=lambda losses, p: 2 * losses),
        form,
    )
    yield Row(
        "uncertainty",
        LIBMTL,
        uncertainty,
        method("UW", STEPS, after=learn_scale),
        method(
            "UW",
            STEPS,
            scale=2.0,
            before=lambda made, p, step: made.loss_scale.data.zero_(),
            after=learn_scale,
        ),
        form + ", and it starts at log sigma^2 = -0.5, ours at 0",
    )
    yield Row(
        "imtl_l",
        TORCHJD,
        ours(lambda p: balancing.IMTLL(), STEPS),
        scalarizer(lambda jd, p: jd.IMTLL(p.k), STEPS),
    )
    stch = ours(lambda p: balancing.STCH(mu=0.5, warmup_epochs=1), STEPS)
    yield Row(
        "stch",
        TORCHJD,
        stch,
        scalarizer(lambda jd, p: jd.STCH(0.5), STEPS),
        scalarizer(
            lambda jd, p: jd.STCH(0.5, weights=torch.ones(p.k)),
            STEPS,
            read=lambda losses, p: torch.log(losses / torch.tensor(p.losses[0])),
            times=lambda p: p.k,
        ),
        "handed log(L / nadir) with weights of 1, and multiplied by K: it has the paper's general "
        "form, ours that of the authors' code for multi-task learning",
        since=1,
    )
    yield Row(
        "stch",
        LIBMTL,
        stch,
        method("STCH", STEPS, STCH_mu=0.5, STCH_warmup_epoch=1),
        method("STCH", STEPS, STCH_mu=0.5, STCH_warmup_epoch=0),
        "its warm-up is one less: it counts epochs from 0 and includes that of the number given",
    )
    famo = ours(lambda p: balancing.FAMO(), STEPS)
    yield Row(
        "famo",
        TORCHJD,
        famo,
        scalarizer(
            lambda jd, p: jd.FAMO(p.k),
            STEPS,
            after=lambda made, p, step: made.update(torch.tensor(p.losses[step + 1])),
        ),
    )
    yield Row(
        "famo",
        LIBMTL,
        famo,
        method(
            "FAMO",
            STEPS,
            after=lambda made, p, step: made.update_w(torch.tensor(p.losses[step + 1])),
            FAMO_w_lr=0.025,
            FAMO_w_gamma=1e-3,
        ),
    )
    yield Row(
        "pbi",
        TORCHJD,
        ours(lambda p: balancing.PBI(p.preferences, theta=5.0)),
        scalarizer(lambda jd, p: jd.PBI(5.0, torch.tensor(p.preference))),
    )
    yield Row(
        "cosmos",
        TORCHJD,
        ours(lambda p: balancing.COSMOS(p.preferences, pull=2.0)),
        scalarizer(lambda jd, p: jd.COSMOS(2.0, torch.tensor(p.preference))),
    )


def with_memory() -> Iterator[Row]:
    """Methods that weigh gradients, and keep something from step to step."""
    gradvac = ours(lambda p: balancing.GradVac(beta=0.5), STEPS)
    yield Row("gradvac", TORCHJD, gradvac, aggregator(lambda jd, p: jd.GradVac(0.5), STEPS))
    vaccine = {"GradVac_beta": 0.5, "GradVac_group_type": 0}
    yield Row("gradvac", LIBMTL, gradvac, method("GradVac", STEPS, **vaccine))

    def plain_weights(made: Any, problem: Problem, step: int) -> None:
        norms = np.linalg.norm(problem.gradients[step], axis=1)
        descend(made.loss_scale, 0.025 / float(norms.mean()))
        made.loss_scale.data.clamp_(min=1e-3)
        made.loss_scale.data *= problem.k / made.loss_scale.data.sum()

    yield Row(
        "gradnorm",
        LIBMTL,
        ours(lambda p: balancing.GradNorm(alpha=1.5, learning_rate=0.025), STEPS),
        method(
            "GradNorm",
            STEPS,
            epoch=1,
            after=lambda made, p, step: descend(made.loss_scale, 0.025),
            alpha=1.5,
        ),
        method(
            "GradNorm",
            STEPS,
            epoch=1,
            after=plain_weights,
            patch=lambda: mock.patch(
                "torch.nn.functional.softmax", lambda weights, dim: weights / len(weights)
            ),
            alpha=1.5,
        ),
        "its weights are learnt themselves and brought to the sum K, as in the paper, where it takes "
        "K times a softmax; at a rate over the mean norm, which is ours",
    )
    yield Row(
        "imtl",
        LIBMTL,
        ours(lambda p: balancing.IMTL(), STEPS),
        method("IMTL", STEPS, after=learn_scale),
        method("IMTL", STEPS, double=True, after=learn_scale),
        "it is in float64: it inverts D U^T, which float32 does not bear for short gradients",
    )
    moco = {
        "MoCo_beta": 0.5,
        "MoCo_beta_sigma": 0.5,
        "MoCo_gamma": 0.1,
        "MoCo_gamma_sigma": 0.5,
        "MoCo_rho": 0.1,
    }
    yield Row(
        "moco",
        LIBMTL,
        ours(lambda p: balancing.MoCo(rho=0.1), STEPS),
        method("MoCo", STEPS, **moco),
        method(
            "MoCo",
            STEPS,
            patch=lambda: mock.patch("torch.nn.functional.softmax", onto_simplex),
            **moco,
        ),
        "its softmax is the projection onto the simplex that the paper has",
    )
    modo = ours(lambda p: balancing.MoDo(gamma=0.01), STEPS)
    yield Row("modo", TORCHJD, modo, split_weighting(lambda jd, p: jd.MoDoWeighting(0.01)))
    rates = {"MoDo_gamma": 0.01, "MoDo_rho": 0.1}
    yield Row("modo", LIBMTL, modo, method("MoDo", STEPS, parts=(0, 1, 2), **rates))
    exactly = split_weighting(lambda jd, p: jd.SDMGradWeighting(), double=True)
    yield Row(
        "sdmgrad",
        TORCHJD,
        ours(lambda p: balancing.SDMGrad(), STEPS),
        split_weighting(lambda jd, p: jd.SDMGradWeighting()),
        exact=exactly,
        sure=steady(exactly),
        rest="where its rate of 10 is chaotic (a millionth more or less of each entry moves "
        "its own step by over 1e-4)",
    )
    sdmgrad = ours(lambda p: balancing.SDMGrad(rate=0.1), STEPS)
    calmer = split_weighting(lambda jd, p: jd.SDMGradWeighting(lr=0.1))
    yield Row("sdmgrad, rate 0.1", TORCHJD, sdmgrad, calmer)
    options = {"parts": (2, 0, 1), "SDMGrad_lamda": 0.3, "SDMGrad_niter": 20}

    def slower() -> Any:
        import torch

        sgd = torch.optim.SGD
        return mock.patch("torch.optim.SGD", lambda own, lr, momentum: sgd(own, 0.1, momentum))

    yield Row(
        "sdmgrad, rate 0.1",
        LIBMTL,
        sdmgrad,
        method("SDMGrad", STEPS, **options),
        method("SDMGrad", STEPS, patch=slower, **options),
        "its inner rate, which it fixes at 5, is 0.1",
    )
    yield Row(
        "db_mtl",
        LIBMTL,
        ours(lambda p: balancing.DBMTL(), STEPS),
        method("DB_MTL", STEPS, DB_beta=0.9, DB_beta_sigma=0.5),
    )
    excess = ours(lambda p: balancing.ExcessMTL(rate=0.1), STEPS)
    yield Row(
        "excess_mtl",
        TORCHJD,
        excess,
        aggregator(lambda jd, p: jd.ExcessMTL(0.1), STEPS),
        aggregator(lambda jd, p: jd.ExcessMTL(0.1, n_warmup_steps=1), STEPS, times=lambda p: p.k),
        "multiplied by K, and one step late: its weights sum to 1, ours to K, and at the first step, "
        "with nothing to compare with, it takes the excess itself",
    )
    yield Row("excess_mtl", LIBMTL, excess, method("ExcessMTL", STEPS, robust_step_size=0.1))
    yield Row(
        "pcd",
        TORCHJD,
        ours(lambda p: balancing.PCD(tau=0.1, momentum=0.9), STEPS),
        aggregator(lambda jd, p: jd.PCD(0.1, 0.9), STEPS),
    )

    def smoothed(jd: Any, problem: Problem) -> Any:
        return jd.GramianWeightedAggregator(jd.CRMOGMWeighting(jd.PCGradWeighting(), 0.9))

    yield Row(
        "cr_mogm, of pcgrad",
        TORCHJD,
        ours(lambda p: balancing.CRMOGM(balancing.PCGrad(), 0.9), STEPS),
        aggregator(smoothed, STEPS),
    )


def onto_simplex(values: Any, *_: Any) -> Any:
    """The nearest point whose entries are not negative and sum to 1, by bisection of the shift."""
    low, high = values.min() - 1, values.max()
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if (values - middle).clamp(min=0).sum() > 1 else (low, middle)
    return (values - high).clamp(min=0)


# The program.


def found_peers() -> set[str]:
    """The peers that can be imported; of another it says how to get it."""
    peers, solvers = set(), ("torch", "quadprog", "qpsolvers", "cvxpy", "clarabel", "ecos")
    ready = all(importlib.util.find_spec(name) for name in solvers)
    if ready and importlib.util.find_spec("torchjd"):
        peers.add(TORCHJD)
    else:
        print("Without TorchJD: pip install torchjd quadprog qpsolvers cvxpy clarabel ecos")
    spec = importlib.util.find_spec("LibMTL")
    if ready and spec:
        peers.add(LIBMTL)
        prepare_libmtl(list(spec.submodule_search_locations or []))
    else:
        print(
            "Without LibMTL: git clone https://github.com/median-research-group/LibMTL, put it on the "
            "PYTHONPATH, and pip install torch quadprog qpsolvers cvxpy clarabel ecos"
        )
    return peers


def prepare_libmtl(locations: list[str]) -> None:
    """Lets the methods be imported without its trainer, which needs torch_geometric."""
    import torch

    torch.set_num_threads(1)
    package = types.ModuleType("LibMTL")
    package.__path__ = locations
    sys.modules["LibMTL"] = package
    # Both were in the versions that it was written for.
    torch.symeig = lambda matrix, eigenvectors: torch.linalg.eigh(matrix)
    np.alltrue = np.all


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=balancing.names(), help="methods to compare")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    peers = found_peers()
    if not peers:
        return 1
    warnings.filterwarnings("ignore", module="cvxpy|LibMTL|torchjd")
    problems = [Problem.of(seed) for seed in range(PROBLEMS)]
    rows = [row for group in (by_losses, by_gramian, by_entry, with_memory) for row in group()]
    print(f"{'method':20}  {'peer':12}  {'n':>3}  {'as it is':>8}  {'mended':>8}  verdict")
    failed, met = 0, set()
    for row in rows:
        name = row.method.partition(",")[0]
        met.add(name)
        if row.peer not in peers or (arguments.only and name not in arguments.only):
            continue
        n, plain, mended, verdict = judge(row, problems)
        failed += verdict.startswith("DIFFERS")
        again = "" if mended is None else f"{mended:.1e}"
        head = f"{row.method:20}  {row.peer:12}  {n:3}  {plain:8.1e}  {again:>8}  "
        lines = textwrap.wrap(verdict, 60)
        print(head + f"\n{' ' * len(head)}".join(lines), flush=True)
    print(f"\nWithout a peer: {', '.join(sorted(set(balancing.names()) - met))}.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
