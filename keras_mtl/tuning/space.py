"""What may be tried: a range, a choice, a share of the loss for each task."""

import abc
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

_PLAIN = (str, int, float, bool, type(None))


class Parameter(abc.ABC):
    """One thing to be tuned; the base of `Float`, `Int`, `Choice` and `Simplex`."""

    @abc.abstractmethod
    def suggest(self, trial: Any, name: str) -> Any:
        """What an Optuna trial proposes for it.

        Args:
            trial: An `optuna.Trial`, or anything that has its `suggest_float`, `suggest_int` and
                `suggest_categorical`.
            name: The parameter's name.
        """

    @abc.abstractmethod
    def told(self, value: Any) -> Any:
        """A value in a form that JSON holds and a person reads."""

    @abc.abstractmethod
    def value(self, told: Any) -> Any:
        """The value that was told so."""

    @abc.abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """What it is, as plain Python; two that are equal here can share a study."""


class Float(Parameter):
    """A number of a range.

    Args:
        low: The smallest value.
        high: The largest value.
        log: Whether 0.001 to 0.01 is as wide as 0.01 to 0.1.
        step: Only `low`, `low + step`, ...

    Raises:
        ValueError: If the range is empty, or `log` does not go with what is given.

    Example:

    >>> Float(1e-4, 1e-2, log=True).to_dict()
    {'kind': 'float', 'low': 0.0001, 'high': 0.01, 'log': True, 'step': None}
    """

    def __init__(self, low: float, high: float, *, log: bool = False, step: float | None = None):
        _check_range("Float", low, high, log, step)
        self.low, self.high, self.log = float(low), float(high), log
        self.step = None if step is None else float(step)

    def suggest(self, trial: Any, name: str) -> float:
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def told(self, value: float) -> float:
        return float(value)

    def value(self, told: float) -> float:
        return float(told)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "float", **vars(self)}


class Int(Parameter):
    """A whole number of a range, both ends included; arguments and errors as of `Float`.

    >>> Int(16, 128, step=16).to_dict()
    {'kind': 'int', 'low': 16, 'high': 128, 'log': False, 'step': 16}
    """

    def __init__(self, low: int, high: int, *, log: bool = False, step: int = 1):
        for value in (low, high, step):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(
                    f"Int takes whole numbers, but came with {value!r}; use Float for others."
                )
        _check_range("Int", low, high, log, None if step == 1 else step)
        self.low, self.high, self.log, self.step = low, high, log, step

    def suggest(self, trial: Any, name: str) -> int:
        return trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log)

    def told(self, value: int) -> int:
        return int(value)

    def value(self, told: int) -> int:
        return int(told)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "int", **vars(self)}


class Choice(Parameter):
    """One of several values.

    Args:
        options: A list of strings, numbers, booleans, None, or lists and dicts of them; or a dict
            from names to anything, such as `{"small": sharing.MMoE(2), "large": sharing.MMoE(8)}`.

    Raises:
        TypeError: If a list holds something that has no name.
        ValueError: If there are no options, or two that read alike.

    Example:

    >>> Choice([None, "cagrad", [64, 32]]).labels
    [None, 'cagrad', '[64, 32]']
    """

    def __init__(self, options: Sequence[Any] | Mapping[str, Any]):
        if isinstance(options, Mapping):
            self.labels: list[Any] = [str(name) for name in options]
            self.values = list(options.values())
        else:
            if isinstance(options, str):
                raise TypeError(f"Choice takes a list of options, but came with {options!r}.")
            self.values = list(options)
            self.labels = [_label(value) for value in self.values]
        if not self.labels:
            raise ValueError("Choice came without options; give one or more.")
        read = [json.dumps(label) for label in self.labels]
        if len(set(read)) < len(read):
            raise ValueError(f"Choice came with options that read alike: {self.labels}.")

    def suggest(self, trial: Any, name: str) -> Any:
        return self.value(trial.suggest_categorical(name, self.labels))

    def told(self, value: Any) -> Any:
        for label, option in zip(self.labels, self.values, strict=True):
            if option is value or (type(option) is type(value) and option == value):
                return label
        raise ValueError(f"{value!r} is not one of the options {self.labels}.")

    def value(self, told: Any) -> Any:
        # Not by `==`, which takes True for 1.
        labels = [json.dumps(label) for label in self.labels]
        return self.values[labels.index(json.dumps(told))]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "choice", "options": self.labels}


class Simplex(Parameter):
    """Loss weights that share a sum: `{name: weight}`, every way to share it as likely as another.

    K weights have K - 1 degrees of freedom, so K - 1 numbers are tuned: of what is left, how much
    the next name takes (stick breaking, with which the weights are uniform on the simplex).

    Args:
        names: Who shares, two or more: the tasks.
        total: The sum of the weights; as many as there are names if it is not given, so that equal
            weights are 1.

    Raises:
        ValueError: If there are fewer than two names, one is given twice, or the sum is not positive.

    Example:

    >>> Simplex(["left", "right"]).shared({"left": 0.25})
    {'left': 0.5, 'right': 1.5}
    """

    def __init__(self, names: Sequence[str], total: float | None = None):
        self.names = list(names)
        self.total = float(len(self.names) if total is None else total)
        if len(self.names) < 2 or len(set(self.names)) < len(self.names) or isinstance(names, str):
            raise ValueError(
                f"Simplex shares a sum among two or more names that differ, but came with {names!r}."
            )
        if not (self.total > 0 and math.isfinite(self.total)):
            raise ValueError(f"Simplex came with total={total!r}; expected a positive number.")

    def suggest(self, trial: Any, name: str) -> dict[str, float]:
        return self.shared(
            {one: trial.suggest_float(f"{name}.{one}", 0.0, 1.0) for one in self.names[:-1]}
        )

    def shared(self, taken: Mapping[str, float]) -> dict[str, float]:
        """The weights, from K - 1 numbers of [0, 1]; the last name takes what is left."""
        left, weights = 1.0, {}
        for i, name in enumerate(self.names[:-1]):
            # The inverse distribution of the first of the shares that are still to be given.
            share = left * (1.0 - (1.0 - taken[name]) ** (1.0 / (len(self.names) - 1 - i)))
            weights[name] = self.total * share
            left -= share
        return {**weights, self.names[-1]: self.total * left}

    def told(self, value: Mapping[str, float]) -> dict[str, float]:
        return {name: float(weight) for name, weight in value.items()}

    def value(self, told: Mapping[str, float]) -> dict[str, float]:
        return dict(told)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "simplex", **vars(self)}


def check_space(space: Any) -> dict[str, Parameter]:
    """The parameters by name.

    Raises:
        TypeError: If it is not a dict of parameters.
        ValueError: If it is empty.
    """
    if not isinstance(space, Mapping):
        raise TypeError(
            f"`space` must be a dict from names to tuning.Float, Int, Choice or Simplex, but came as "
            f"a {type(space).__name__}."
        )
    if not space:
        raise ValueError("`space` is empty; name at least one parameter to be tuned.")
    for name, parameter in space.items():
        if not isinstance(name, str) or not isinstance(parameter, Parameter):
            raise TypeError(
                f"`space` holds {parameter!r} for {name!r}; expected a name and a tuning.Float, Int, "
                "Choice or Simplex."
            )
    return dict(space)


class FirstOf:
    """Stands in for a trial that proposes the first option and the lower end of every range."""

    def suggest_float(self, name: str, low: float, high: float, **_: Any) -> float:
        return low

    def suggest_int(self, name: str, low: int, high: int, **_: Any) -> int:
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[0]


def _check_range(kind: str, low: float, high: float, log: bool, step: float | None) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{kind} came with low={low}, high={high}; expected low < high.")
    if log and (low <= 0 or step is not None):
        raise ValueError(
            f"{kind} came with log=True, low={low}, step={step}; a logarithmic range begins above 0 "
            "and has no step."
        )
    if step is not None and not 0 < step <= high - low:
        raise ValueError(f"{kind} came with step={step}; expected 0 < step <= high - low.")


def _label(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (list, tuple, dict)):
        try:
            return json.dumps(value)
        except TypeError:
            pass
    raise TypeError(
        f"Choice came with {value!r}, which has no name; give a dict from names to options, "
        "Choice({'small': ..., 'large': ...})."
    )
