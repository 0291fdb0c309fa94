"""What joint training is worth, in one number."""

from collections.abc import Mapping


def delta_m(
    joint: Mapping[str, float],
    single: Mapping[str, float],
    higher_is_better: Mapping[str, bool],
) -> float:
    """The mean relative gain over single-task models, in percent.

    Delta_m = 100 / K sum_k (-1)^{l_k} (M_k - S_k) / S_k, with l_k = 1 where less is better.
    Maninis, Radosavovic and Kokkinos, "Attentive Single-Tasking of Multiple Tasks", CVPR 2019,
    arXiv:1904.08918.

    Args:
        joint: The metric of each task in the joint model.
        single: The same metric of each task's own model.
        higher_is_better: Whether more of each task's metric is better.

    Raises:
        ValueError: If a task is not in all three, or a single-task metric is 0.

    >>> round(delta_m({"a": 0.9, "b": 1.8}, {"a": 0.8, "b": 2.0}, {"a": True, "b": False}), 4)
    11.25
    """
    if not joint or set(joint) != set(single) or set(joint) - set(higher_is_better):
        raise ValueError(
            f"Delta_m needs the same tasks throughout, but joint has {sorted(joint)}, single has "
            f"{sorted(single)} and directions are known of {sorted(higher_is_better)}."
        )
    gains = []
    for task, value in joint.items():
        base = single[task]
        if base == 0:
            raise ValueError(
                f"Delta_m is relative to the single-task metric, which is 0 for task {task!r}; "
                "choose another metric."
            )
        sign = 1.0 if higher_is_better[task] else -1.0
        gains.append(sign * (value - base) / abs(base))
    return 100.0 * sum(gains) / len(gains)
