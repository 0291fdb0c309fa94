"""A run's YAML file, read and checked.

Every key is checked; a wrong one is answered with its line, what is allowed and the nearest match.
"""

import pathlib
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from keras_mtl._names import nearest
from keras_mtl.config import (
    BinaryConfig,
    DataConfig,
    EarlyStoppingConfig,
    EncoderConfig,
    OutputConfig,
    ParameterConfig,
    RunConfig,
    TaskConfig,
    TowerConfig,
    TrainingConfig,
    TuningConfig,
)


def read_config(path: Any) -> RunConfig:
    """Reads and checks a run's YAML file.

    Raises:
        ValueError: If it is not YAML or holds a wrong key or value; every fault with its line.
        OSError: If it cannot be read.
    """
    path = pathlib.Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, yaml.SafeLoader)
        _check_size(node)
        content = yaml.safe_load(text)
    except RecursionError:
        raise ValueError(f"{path} is not YAML of use: it is nested too deeply.") from None
    except _UNREADABLE as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())[:_LONGEST]}") from None
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} holds no settings; expected the keys {list(RunConfig.model_fields)}."
        )
    try:
        run = RunConfig.model_validate(content)
    except ValidationError as error:
        faults = [_told(path, node, dict(fault)) for fault in error.errors()]
        raise ValueError("\n".join(faults)) from None
    _check_names(path, node, run)
    return run


# What PyYAML answers to values that are not of the type that they look like or are said to be.
_UNREADABLE = (
    yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
)  # fmt: skip
# Characters of a message that quotes the file, and parts that a file may have.
_LONGEST, _PARTS_AT_MOST = 500, 100_000


def _check_size(root: Any) -> None:
    """Raises a `ValueError` for parts beyond all use, as aliases multiply, or that hold themselves."""
    counts: dict[int, int] = {}
    inside: set[int] = set()

    def count(node: Any) -> int:
        if id(node) in inside:
            raise ValueError(f"an alias in line {node.start_mark.line + 1} holds itself")
        if id(node) not in counts:
            inside.add(id(node))
            held = node.value if isinstance(node, yaml.CollectionNode) else []
            parts = [p for x in held for p in (x if isinstance(x, tuple) else (x,))]
            counts[id(node)] = 1 + sum(map(count, parts))
            inside.discard(id(node))
        return counts[id(node)]

    if root is not None and count(root) > _PARTS_AT_MOST:
        raise ValueError(f"with its aliases multiplied it has more than {_PARTS_AT_MOST} parts")


def _check_names(path: pathlib.Path, node: Any, run: RunConfig) -> None:
    """Raises a `ValueError` with its line if a task is named twice, or one that is not there is."""
    names = [task.name for task in run.tasks]
    for i, name in enumerate(names):
        if name in names[:i]:
            line, _ = _locate(node, ["tasks", i, "name"])
            raise ValueError(
                f"{path}:{line}: tasks.{i}.name: the task {name!r} is there already; names must "
                "differ."
            )
    named: list[tuple[list[Any], str]] = [
        (["training", "loss_weights"], name) for name in run.training.loss_weights
    ]
    for i, task in enumerate(run.tasks):
        if isinstance(task, BinaryConfig):
            named += [(["tasks", i, "given"], task.given)] if task.given else []
            named += [(["tasks", i, "at_most"], name) for name in task.at_most]
    for place, name in named:
        if name not in names:
            line, _ = _locate(node, [*place, name])
            near = nearest(name, names)
            raise ValueError(
                f"{path}:{line}: {'.'.join(map(str, place))}: there is no task {name!r}; "
                + (f"did you mean {near!r}? " if near else "")
                + f"the tasks are {', '.join(names)}."
            )


def _told(path: pathlib.Path, node: Any, fault: dict[str, Any]) -> str:
    place = [p for p in fault["loc"] if isinstance(p, int) or not _is_tag(p, node, fault["loc"])]
    if fault["type"] == "union_tag_invalid":
        place.append("kind")
    line, keys = _locate(node, place)
    where = ".".join(str(p) for p in keys) or "the file"
    said = f"{path}:{line}: {where}: "
    if fault["type"] == "extra_forbidden":
        allowed = _allowed(fault["loc"])
        near = nearest(keys[-1], allowed)
        hint = f"did you mean {near!r}? " if near else ""
        return f"{said}there is no such key; {hint}allowed are {', '.join(allowed)}."
    context = fault.get("ctx", {})
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] in ("literal_error", "union_tag_invalid"):
        options = str(context.get("expected") or context.get("expected_tags"))
        value = fault["input"].get("kind") if isinstance(fault["input"], dict) else fault["input"]
        names = [o.strip().strip("'") for o in options.replace(" or ", ", ").split(",")]
        near = nearest(value, names)
        hint = f"; did you mean {near!r}?" if near else ""
        return f"{said}{value!r} is not allowed; expected one of {', '.join(names)}{hint}"
    if fault["type"] == "missing":
        return f"{said}the key is required."
    came = "" if isinstance(fault["input"], (dict, list)) else f" (came {fault['input']!r})"
    return f"{said}{message}{came[:_LONGEST]}"


# The parts of a run that are of a kind, by its name in the file.
_KINDS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model
    for union in (DataConfig, EncoderConfig, TaskConfig)
    for model in get_args(get_args(union)[0])
}
_PARTS: dict[str, type[BaseModel]] = {
    "training": TrainingConfig, "output": OutputConfig, "early_stopping": EarlyStoppingConfig,
    "tower": TowerConfig, "TowerConfig": TowerConfig, "tuning": TuningConfig,
    "parameters": ParameterConfig,
}  # fmt: skip


def _is_tag(part: Any, node: Any, location: Any) -> bool:
    """Whether a part of pydantic's path names a kind or a type rather than a key of the file."""
    index = location.index(part)
    follows_kind = index > 0 and (location[index - 1] in ("data", "encoder") or isinstance(
        location[index - 1], int
    ))  # fmt: skip
    typed = "[" in str(part) or part in ("TowerConfig", "str", "int", "float", "bool")
    return typed or (part in _KINDS and follows_kind)


def _locate(node: Any, place: list[Any]) -> tuple[int, list[Any]]:
    """The line of the deepest key of `place` that the file has."""
    line, keys = node.start_mark.line + 1, []
    for part in place:
        keys.append(part)
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(part)]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif (
            isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value)
        ):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line, keys + place[len(keys) :]


def _allowed(location: Any) -> list[str]:
    """The keys that the part at `location` knows."""
    models = _KINDS | _PARTS
    for part in reversed(location[:-1]):
        if part in models:
            return list(models[part].model_fields)
    return list(RunConfig.model_fields)
