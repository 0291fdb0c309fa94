"""Tuning a run that is told by its configuration: what its parameters are, and each trial's run."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import pydantic
import yaml

from keras_mtl import _run, balancing, sharing
from keras_mtl._names import nearest
from keras_mtl.callbacks import EarlyStopping
from keras_mtl.config import ParameterConfig, RunConfig
from keras_mtl.data import Examples
from keras_mtl.tuning.pruning import Pruning
from keras_mtl.tuning.result import Tuning
from keras_mtl.tuning.space import Choice, Float, Int, Parameter, Simplex
from keras_mtl.tuning.tune import tune

# Their change would make results of trials incomparable.
_FIXED = ("data", "output", "tuning", "training.epochs", "training.seed")


def tune_run(
    run: RunConfig,
    train: Examples,
    valid: Examples,
    *,
    trials: int | None = None,
    storage: Any = None,
    name: str = "keras_mtl",
    progress: Callable[[str], None] | None = None,
) -> Tuning:
    """Tunes a run by its `tuning` section; arguments and answer are those of `keras_mtl.tune`.

    Raises:
        ValueError: If there is no such section, or a parameter of it cannot be.
    """
    space = space_of(run)
    told = run.tuning
    assert told is not None  # `space_of` has refused it

    def build(parameters: dict[str, Any]) -> Any:
        trial = with_parameters(run, parameters)
        model = _run.make_model(trial, train)
        steps = trial.training.epochs * -(-len(train) // trial.training.batch_size)
        model.compile(
            _run.make_optimizer(trial, steps),
            loss_weights=trial.training.loss_weights,
            balancer=trial.training.balancer,
            jit_compile=trial.training.jit_compile,
        )
        return model

    def watching() -> list[Any]:
        made: list[Any] = []
        if run.training.ema:
            made.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
        if run.training.early_stopping:
            made.append(EarlyStopping(**run.training.early_stopping.model_dump()))
        return made

    return tune(
        build,
        train,
        valid,
        space=space,
        trials=trials or told.trials,
        epochs=told.epochs or run.training.epochs,
        batch_size=lambda told: with_parameters(run, told).training.batch_size,
        storage=storage,
        name=name,
        seed=run.training.seed,
        prune=Pruning() if told.prune else None,
        callbacks=watching if watching() else None,
        progress=progress,
    )


def space_of(run: RunConfig) -> dict[str, Parameter]:
    """The parameters of a run's `tuning` section by their paths, each value of them checked.

    Raises:
        ValueError: If there is no such section, a path leads nowhere, or a value cannot be.
    """
    if run.tuning is None:
        raise ValueError(
            "The configuration has no `tuning` section; add one, such as tuning: {parameters: "
            "{training.learning_rate: {low: 0.0001, high: 0.01, log: true}}}."
        )
    space = {}
    for path, told in run.tuning.parameters.items():
        try:
            present = _at(run.model_dump(), path)
            space[path] = _parameter(told, present, [task.name for task in run.tasks], path)
            for value in _ends(told, space[path]):
                changed = with_parameters(run, {path: value})
                balancing.get(changed.training.balancer)
                sharing.get(changed.sharing)
        except (TypeError, ValueError) as error:
            raise ValueError(f"tuning.parameters.{path}: {error}") from None
    return space


def with_parameters(run: RunConfig, parameters: Mapping[str, Any]) -> RunConfig:
    """The run of a trial: other values at some paths, the epochs of a trial, no `tuning` section.

    Raises:
        ValueError: If a path leads nowhere or a value is not allowed there.
    """
    content = run.model_dump()
    if run.tuning is not None and run.tuning.epochs is not None:
        content["training"]["epochs"] = run.tuning.epochs
    content["tuning"] = None
    for path, value in parameters.items():
        holder, key = _holder(content, path)
        holder[key] = value
    try:
        return RunConfig.model_validate(content)
    except pydantic.ValidationError as error:
        faults = [f"{fault['msg']} (came {fault['input']!r})" for fault in error.errors()]
        raise ValueError("; ".join(faults)) from None


def _parameter(told: ParameterConfig, present: Any, tasks: list[str], path: str) -> Parameter:
    if told.choices is not None:
        return Choice(told.choices)
    if told.simplex:
        if path != "training.loss_weights":
            raise ValueError("{simplex: true} is for training.loss_weights alone.")
        return Simplex(tasks)
    assert told.low is not None and told.high is not None  # the configuration has checked it
    if isinstance(present, int) and not isinstance(present, bool):
        step = 1.0 if told.step is None else told.step
        if not (told.low.is_integer() and told.high.is_integer() and step.is_integer()):
            raise ValueError(
                f"expected whole numbers, as the key's {present!r} is one, but came "
                f"low={told.low}, high={told.high}, step={step}."
            )
        return Int(int(told.low), int(told.high), log=told.log, step=int(step))
    if not (present is None or isinstance(present, float)):
        raise ValueError(
            f"a range is for numbers, but the key is {present!r}; give {{choices: [...]}}."
        )
    return Float(told.low, told.high, log=told.log, step=told.step)


def _ends(told: ParameterConfig, parameter: Parameter) -> Iterator[Any]:
    """Values of a parameter that, if they are allowed, say that all are."""
    if told.choices is not None:
        yield from told.choices
    elif not told.simplex:
        yield from (parameter.value(told.low), parameter.value(told.high))


def _at(content: Any, path: str) -> Any:
    """What is at a path; None for the loss weight of a task that has none yet."""
    holder, key = _holder(content, path)
    return holder[key] if isinstance(holder, list) else holder.get(key)


def _holder(content: dict[str, Any], path: str) -> tuple[Any, Any]:
    """What holds the last key of a path, and that key; tasks go by name or number."""
    if path.split(".")[0] in _FIXED or path in _FIXED:
        raise ValueError(f"it is the same in all trials ({', '.join(_FIXED)} are); leave it out.")
    tasks = [task["name"] for task in content["tasks"]]
    holder: Any = None
    key: Any = None
    place: Any = content
    for part in path.split("."):
        if isinstance(place, list):
            known = tasks if place is content["tasks"] else [str(i) for i in range(len(place))]
            index = known.index(part) if part in known else None
            if index is None and part.isdigit() and int(part) < len(place):
                index = int(part)
            holder, key = place, index
        elif isinstance(place, dict):
            weights = place is content["training"]["loss_weights"]
            known = tasks if weights else list(place)
            holder, key = place, part if part in known else None
        else:
            raise ValueError(f"there is nothing below a key that is {place!r}; set it first.")
        if key is None:
            near = nearest(part, known)
            raise ValueError(
                f"there is no {part!r} there; "
                + (f"did you mean {near!r}? " if near else "")
                + f"expected one of {', '.join(known)}."
            )
        place = holder[key] if isinstance(holder, list) else holder.get(key)
    return holder, key


def as_yaml(run: RunConfig) -> str:
    """A run as the text of a file that `keras-mtl train` takes."""
    return yaml.safe_dump(run.model_dump(exclude_defaults=True, mode="json"), sort_keys=False)
