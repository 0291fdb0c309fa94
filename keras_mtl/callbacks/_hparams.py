"""A run's entry on TensorBoard's page of hyperparameters."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

_PLAIN = (bool, int, float, str)


def check_hparams(hparams: Mapping[str, Any] | None) -> dict[str, Any]:
    """Hyperparameters that TensorBoard can show, by name; None becomes "none".

    Raises:
        TypeError: If one is not a number, a string, a boolean or None.
    """
    checked: dict[str, Any] = {}
    for name, value in (hparams or {}).items():
        value = "none" if value is None else value
        if not isinstance(value, _PLAIN):
            raise TypeError(
                f"`hparams` {name!r} is {value!r} of type {type(value).__name__}; expected a number, "
                "a string, a boolean or None."
            )
        checked[str(name)] = value
    return checked


def write_hparams(
    hparams: Mapping[str, Any], recorded: Mapping[str, Sequence[str]], group: str
) -> None:
    """Writes the record of a run that begins, with the curves to be shown beside it.

    Args:
        hparams: By name.
        recorded: What the curves of each task are.
        group: The folder of the curves, beneath that of the record.
    """
    from tensorboard.plugins.hparams import api

    metrics = [
        api.Metric(f"{task}/{name}", group=group, display_name=f"{task} {name}")
        for task, names in recorded.items()
        for name in names
    ]
    known = [api.HParam(name, display_name=name) for name in hparams]
    api.hparams_config(known, [*metrics, api.Metric("loss", group=group, display_name="loss")])
    api.hparams({known[i]: value for i, value in enumerate(hparams.values())})


def write_end() -> None:
    """Writes that the run has ended well."""
    from tensorboard.plugins.hparams import summary

    ended = summary.session_end_pb(summary.api_pb2.STATUS_SUCCESS)
    tf.summary.experimental.write_raw_pb(ended.SerializeToString(), step=0)
