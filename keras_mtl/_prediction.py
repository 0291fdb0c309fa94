"""The last layers of a task's head: scores come in, what is served goes out."""

from typing import Any

import keras
import numpy as np
from keras import ops


class ReadsOthers(keras.layers.Layer):
    """A layer of a task's head whose arguments after the first are the scores of other tasks."""


@keras.saving.register_keras_serializable("keras_mtl")
class Prediction(keras.layers.Layer):
    """Turns a task's scores into the output that is served, and knows the task it belongs to.

    A model finds its tasks by these layers, so tasks survive saving, loading and cloning without
    being told again. What a task learns from its labels (the scale of a regression target, balanced
    class weights) lives here as non-trainable variables.

    Args:
        task: The task, an object of `keras_mtl.tasks`.
        scores: True if the input is the raw scores that the task's loss reads (logits, a scaled
            target); False if it is the finished output of a model of the user's own.
        name: The task's name unless told otherwise.
    """

    def __init__(self, task: Any, *, scores: bool = True, name: str | None = None, **kwargs: Any):
        kwargs.setdefault("dtype", "float32")
        super().__init__(name=name or task.name, **kwargs)
        self.task = task
        self.scores = scores
        self.supports_masking = True
        self.state: dict[str, keras.Variable] = {}
        self.adapted = None

    def build(self, input_shape: Any) -> None:
        learnt = self.task.initial_state()
        for initial, trainable in ((learnt, False), (self.task.trainable_state(), True)):
            for key, value in initial.items():
                value = np.asarray(value, "float32")
                self.state[key] = self.add_weight(
                    shape=value.shape, initializer="zeros", trainable=trainable, name=key
                )
                self.state[key].assign(value)
        if learnt:
            self.adapted = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="adapted"
            )
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        return self.task.predictions(inputs, self.state, mask) if self.scores else inputs

    def loss_values(self, labels: Any, scores: Any, known: Any) -> Any:
        """The task's loss of each label, not yet reduced; the shape of the labels."""
        return self.task.loss_values(labels, ops.cast(scores, "float32"), self.state, known)

    @property
    def needs_labels(self) -> bool:
        """Whether something is still to be learnt from the training labels before the first step."""
        return self.adapted is not None and not ops.convert_to_numpy(self.adapted).item()

    def adapt(self, labels: np.ndarray) -> None:
        """Learns scale or class weights from training labels; missing ones are left out.

        Args:
            labels: All training labels of the task, `(n, ...)`.
        """
        for key, value in self.task.adapt(labels).items():
            self.state[key].assign(np.asarray(value, "float32"))
        if self.adapted is not None:
            self.adapted.assign(1.0)

    def compute_output_spec(self, inputs: Any, mask: Any = None) -> Any:
        shape = self.task.output_shape(inputs.shape) if self.scores else inputs.shape
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        task = keras.saving.serialize_keras_object(self.task)
        return {**config, "task": task, "scores": self.scores}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Prediction":
        config = dict(config)
        task = keras.saving.deserialize_keras_object(config.pop("task"))
        return cls(task, **config)
