"""Multi-task learning for Keras: several named outputs, trained together, served together."""

from keras_mtl import (
    alignment,
    balancing,
    callbacks,
    data,
    datasets,
    encoders,
    evaluation,
    export,
    fairness,
    reporting,
    sharing,
    tasks,
    transfer,
    tuning,
)
from keras_mtl._version import __version__
from keras_mtl.build import build_model
from keras_mtl.evaluation import compare, evaluate, explain, suggest_groups
from keras_mtl.model import MultiTaskModel
from keras_mtl.reporting import report
from keras_mtl.tuning import tune

__all__ = [
    "MultiTaskModel", "__version__", "alignment", "balancing", "build_model", "callbacks",
    "compare", "data", "datasets", "encoders", "evaluate", "evaluation", "explain", "export", "fairness",
    "report", "reporting", "sharing", "suggest_groups", "tasks", "transfer", "tune",
    "tuning",
]  # fmt: skip
