"""How a model leaves Python: formats that other programs read.

An exporter reads the model through its public properties (`inputs`, `task_names`, `tasks`,
`task_model`) and keeps the one name contract: inputs and outputs are called what they are called in
the model.

To add one: a file with a function, a test file of the same name in which another program reads what
it wrote, one line here.
"""

from keras_mtl.export._converted import Converted
from keras_mtl.export._versions import versions
from keras_mtl.export.litert import litert
from keras_mtl.export.onnx import onnx
from keras_mtl.export.saved_model import saved_model
from keras_mtl.export.serving_config import serving_config

__all__ = ["Converted", "litert", "onnx", "saved_model", "serving_config", "versions"]
