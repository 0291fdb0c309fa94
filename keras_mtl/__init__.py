"""Multi-task learning for Keras: several named outputs, trained together, served together."""

from keras_mtl import balancing, encoders, sharing, tasks
from keras_mtl._version import __version__
from keras_mtl.build import build_model
from keras_mtl.model import MultiTaskModel

__all__ = [
    "MultiTaskModel", "__version__", "balancing", "build_model", "encoders", "sharing", "tasks",
]  # fmt: skip
