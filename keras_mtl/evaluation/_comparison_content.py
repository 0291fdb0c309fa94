"""What a comparison was written as, checked when it is read back: files are edited and cut short."""

from collections.abc import Mapping
from typing import Any

NAMES = ("metrics", "higher_is_better", "values", "parameters", "seconds")


def checked(content: Any, first: str) -> dict[str, Mapping[str, Any]]:
    """The arguments of a `Comparison`, out of what `Comparison.to_dict` gave.

    Args:
        content: What was read.
        first: The row that all others are compared with.

    Raises:
        ValueError: If something is missing, or does not go together.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"A comparison came as {type(content).__name__}; expected an object.")
    for name in NAMES:
        if not isinstance(content.get(name), Mapping):
            raise ValueError(
                f"A comparison's {name!r} is {content.get(name)!r}; expected an object, as "
                "Comparison.to_dict gives it."
            )
    tasks, values = content["metrics"], content["values"]
    if not tasks or first not in values or len(values) < 2:
        raise ValueError(
            f"A comparison has the tasks {list(tasks)} and the rows {list(values)}; expected a task "
            f"or more, the row {first!r}, and a joint row or more."
        )
    _check_tasks("higher_is_better", content["higher_is_better"], tasks)
    for name in ("parameters", "seconds"):
        for row in values:
            _check_number(f"{name!r} of row {row!r}", content[name].get(row))
    _check_values(values, tasks)
    return {name: content[name] for name in NAMES}


def _check_values(values: Mapping[str, Any], tasks: Mapping[str, Any]) -> None:
    lengths = set()
    for row, found in values.items():
        _check_tasks(f"row {row!r}", found, tasks)
        for task, by_seed in found.items():
            if not isinstance(by_seed, list) or not by_seed:
                raise ValueError(
                    f"A comparison's row {row!r} has {by_seed!r} of task {task!r}; expected a list of "
                    "a number for each seed."
                )
            lengths.add(len(by_seed))
            for value in by_seed:
                _check_number(f"row {row!r} of task {task!r}", value)
    if len(lengths) > 1:
        raise ValueError(
            f"A comparison has values of {sorted(lengths)} seeds; expected as many in every row and "
            "of every task."
        )


def _check_tasks(what: str, found: Any, tasks: Mapping[str, Any]) -> None:
    if not isinstance(found, Mapping) or set(found) != set(tasks):
        told = list(found) if isinstance(found, Mapping) else found
        raise ValueError(
            f"A comparison's {what} is of {told!r}; expected each of the tasks {list(tasks)}."
        )


def _check_number(what: str, value: Any) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError(f"A comparison has {value!r} for {what}; expected a number.")
