"""What a balancer has seen of the tasks in an epoch, as curves and as a heat map."""

from typing import Any

import numpy as np

from keras_mtl._relations import Relation

# Curves of each two tasks; past so many tasks the heat map alone tells.
MOST_PAIRED = 12


def balancing_scalars(balancer: Any) -> dict[str, float]:
    """Numbers of the epoch by tag.

    `<task>/balancer_weight` and `<task>/gradient_norm`; `gradients/<task> and <task>`, the mean cosine
    of two tasks' gradients; `gradients/conflicting_steps`, the share of steps in which some two were
    at more than a right angle.
    """
    seen, names = balancer.record.of_epoch, list(balancer.task_names)
    found: dict[str, float] = {}
    for key, tag in (("weights", "balancer_weight"), ("norms", "gradient_norm")):
        if key in seen:
            found.update({f"{n}/{tag}": float(v) for n, v in zip(names, seen[key], strict=True)})
    if "cosines" in seen:
        found["gradients/conflicting_steps"] = float(seen["conflicting_steps"])
        if len(names) <= MOST_PAIRED:
            for tag, (i, j) in pair_tags(names).items():
                found[tag] = float(seen["cosines"][i, j])
    return {tag: value for tag, value in found.items() if np.isfinite(value)}


def balancing_relations(balancer: Any) -> dict[str, Relation]:
    """The mean cosine of each two tasks' gradients, as a table."""
    seen, names = balancer.record.of_epoch, list(balancer.task_names)
    if "cosines" not in seen:
        return {}
    return {"cosines": Relation(seen["cosines"], names, names)}


def pair_tags(names: list[str]) -> dict[str, tuple[int, int]]:
    """The tag of each two tasks, and where they are."""
    return {
        f"gradients/{one} and {other}": (i, j)
        for i, one in enumerate(names)
        for j, other in enumerate(names)
        if i < j
    }
