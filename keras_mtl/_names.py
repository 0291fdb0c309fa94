"""The one name contract: a task's name is the key of everything that belongs to the task."""

import difflib
import re
from collections.abc import Iterable, Mapping

# Names that every SavedModel, or every one of ours, has taken.
_TAKEN = (
    "serving_default", "serving_labels", "serving_examples", "serving_images",
    "serving_preprocessed", "signatures",
)  # fmt: skip
_ALLOWED = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]*")


def check_task_names(names: Iterable[str], inputs: Iterable[str] = ()) -> list[str]:
    """Returns the task names as a list, or says which of them cannot be told apart.

    Raises:
        TypeError: If a name is not a string.
        ValueError: If a name is empty, given twice, an input's name, or not fit for a SavedModel.
    """
    names = list(names)
    inputs = set(inputs)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                f"A task's name must be a string, but {name!r} is a {type(name).__name__}; "
                "give every output a name of its own."
            )
        if not _ALLOWED.fullmatch(name):
            raise ValueError(
                f"Task name {name!r} cannot be used in a SavedModel or a TensorBoard tag; expected "
                "a letter first, then letters, digits, '_', '-' or '.'; rename the task."
            )
        if name in _TAKEN:
            raise ValueError(
                f"Task name {name!r} is taken in every SavedModel, with {list(_TAKEN)}; rename the task."
            )
        if names.count(name) > 1:
            raise ValueError(
                f"Task name {name!r} is given {names.count(name)} times; names are the keys of "
                "outputs, labels and metrics, so give each task a name of its own."
            )
        if name in inputs:
            raise ValueError(
                f"Task {name!r} has the name of an input; inputs and tasks share one signature in "
                "the SavedModel, so rename one of them."
            )
    if not names:
        raise ValueError("A multi-task model needs at least one task, but none was given.")
    return names


def check_history_keys(keys_of_task: Mapping[str, Iterable[str]]) -> None:
    """Refuses names that would overwrite each other's curves.

    Args:
        keys_of_task: For each task, what is recorded of it: `"loss"` and its metrics' names.

    Raises:
        ValueError: If two records get one key, as task `a` with a metric `b_loss` and task `a_b`.
    """
    owner = {"loss": "the joint loss", "val_loss": "the joint validation loss"}
    for task, keys in keys_of_task.items():
        for key in keys:
            for prefix in ("", "val_"):
                full = f"{prefix}{task}_{key}"
                what = f"{prefix}{key!s} of task {task!r}"
                if full in owner:
                    raise ValueError(
                        f"The history key {full!r} would stand for {owner[full]} and for {what}; "
                        "curves would overwrite each other, so rename the task or the metric."
                    )
                owner[full] = what


def refuse_unknown(argument: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises a `ValueError` if `given` names a task that the model does not have."""
    known = list(known)
    for name in given:
        if name not in known:
            near = nearest(name, known)
            raise ValueError(
                f"`{argument}` names task {name!r}, but the model's tasks are {known}"
                + (f"; did you mean {near!r}?" if near else "; correct or remove that key.")
            )


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The name most like `name`, if one is like it at all.

    >>> nearest("slot", ["intent", "slots"])
    'slots'
    """
    matches = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return matches[0] if matches else None
