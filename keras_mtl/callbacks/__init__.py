"""What is watched while a model trains: Keras callbacks that know of tasks.

A callback reads the model through its public properties (`task_names`, `tasks`, `loss_weights`,
`balancer`, `recorded`) and the epoch's logs, whose keys are `<task>_<metric>` and
`val_<task>_<metric>`; `keras.callbacks.ModelCheckpoint` takes those keys as they are.

To add one: a file with a subclass of `keras.callbacks.Callback`, a test file of the same name, one
line here.
"""

from keras_mtl.callbacks.early_stopping import EarlyStopping
from keras_mtl.callbacks.mlflow_run import MLflow
from keras_mtl.callbacks.run_folder import RunFolder
from keras_mtl.callbacks.tensorboard import TensorBoard
from keras_mtl.callbacks.weights_and_biases import WandB

__all__ = ["EarlyStopping", "MLflow", "RunFolder", "TensorBoard", "WandB"]
