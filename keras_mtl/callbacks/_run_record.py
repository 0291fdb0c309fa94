"""What `run.json` tells of a run: versions, the command, the model."""

import datetime
import platform
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mtl._version import __version__


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide what comes out."""
    return {
        "python": platform.python_version(),
        "keras_mtl": __version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }


def command() -> list[str]:
    """How this process was started."""
    return list(sys.argv)


def model_record(model: Any) -> dict[str, Any]:
    """Of a compiled model: its tasks, parameters, balancer, loss weights and optimizer."""
    tasks = {}
    for name in model.task_names:
        task = model.tasks.get(name)
        tasks[name] = {
            "kind": None if task is None else type(task).__name__,
            "main_metric": None if task is None else task.main_metric,
            "higher_is_better": None if task is None else task.higher_is_better,
        }
    balancer = model.balancer
    return {
        "name": model.name,
        "tasks": tasks,
        "parameters": {
            "shared": _size(model.shared_variables()),
            **{name: _size(model.task_variables(name)) for name in model.task_names},
            "total": _size(model.trainable_variables),
        },
        "balancer": None if balancer is None else type(balancer).__name__,
        "balancer_config": None
        if balancer is None
        else keras.saving.serialize_keras_object(balancer)["config"],
        "loss_weights": model.loss_weights,
        "optimizer": keras.saving.serialize_keras_object(model.optimizer),
    }


def _size(variables: Any) -> int:
    return sum(int(np.prod(v.shape)) for v in variables)
