"""Per-task curves in TensorBoard."""

import os
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_mtl.callbacks._layout import custom_scalars_layout

TRAIN, VALIDATION = "train", "validation"


class TensorBoard(keras.callbacks.Callback):
    """Writes what TensorBoard draws: each task's curves, loss weights, the graph, the tasks.

    The runs are `train` and `validation`, so that both are on one chart: tags `<task>/loss`,
    `<task>/<metric>`, `loss`; in the training run also `<task>/loss_weight` (alpha),
    `<task>/weighted_loss` (alpha times the loss) and `learning_rate`. The page "Custom scalars"
    opens on one category a task. See it by `tensorboard --logdir LOG_DIR`.

    Args:
        log_dir: The folder of the logs; made if it is not there.
        steps: Above 0, losses and metrics of the running epoch are written every so many batches,
            under `steps/...`.
        graph: Whether to write the model's graph.

    Raises:
        ValueError: If `steps` is negative.
        OSError: When training begins, if the folder cannot be written.
    """

    def __init__(self, log_dir: Any = "logs", steps: int = 0, graph: bool = True):
        super().__init__()
        if steps < 0:
            raise ValueError(f"`steps` is {steps}; expected 0, or every how many batches to write.")
        self.log_dir = pathlib.Path(log_dir)
        self.steps = int(steps)
        self.graph = graph
        self._writers: dict[str, Any] = {}
        self._batch = 0

    def on_train_begin(self, logs: Any = None) -> None:
        try:
            self.log_dir.mkdir(parents=True, exist_ok=True)
            writable = os.access(self.log_dir, os.W_OK)
        except OSError as error:
            raise OSError(
                f"The log folder {str(self.log_dir)!r} cannot be made: {error}; choose another "
                "`log_dir`."
            ) from None
        if not writable:
            raise OSError(
                f"The log folder {str(self.log_dir)!r} cannot be written; choose another `log_dir`."
            )
        self._batch = int(self.model.optimizer.iterations)
        writer = self._writer(TRAIN)
        with writer.as_default():
            tf.summary.experimental.write_raw_pb(
                custom_scalars_layout(self._metrics_of()).SerializeToString(), step=0
            )
            tf.summary.text("tasks", task_table(self.model), step=0)
            if self.graph:
                tf.summary.graph(self._graph())
        writer.flush()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not self.steps:
            return
        self._batch += 1
        if self._batch % self.steps == 0:
            self._write(TRAIN, {f"steps/{k}": v for k, v in _tags(self.model, logs)}, self._batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = logs or {}
        trained = {k: v for k, v in logs.items() if not k.startswith("val_")}
        validated = {k[4:]: v for k, v in logs.items() if k.startswith("val_")}
        scalars = dict(_tags(self.model, trained))
        alphas = self.model.loss_weights
        for task, alpha in alphas.items():
            scalars[f"{task}/loss_weight"] = alpha
            if f"{task}_loss" in trained:
                scalars[f"{task}/weighted_loss"] = alpha * float(trained[f"{task}_loss"])
        scalars["learning_rate"] = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self._write(TRAIN, scalars, epoch)
        if validated:
            self._write(VALIDATION, dict(_tags(self.model, validated)), epoch)

    def on_train_end(self, logs: Any = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _writer(self, run: str) -> Any:
        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(str(self.log_dir / run))
        return self._writers[run]

    def _write(self, run: str, scalars: dict[str, Any], step: int) -> None:
        writer = self._writer(run)
        with writer.as_default():
            for tag, value in scalars.items():
                tf.summary.scalar(tag, float(value), step=step)
        writer.flush()

    def _metrics_of(self) -> dict[str, list[str]]:
        names = self.model.recorded
        return {task: names.get(task, []) for task in self.model.task_names}

    def _graph(self) -> Any:
        specs = [tf.TensorSpec(t.shape, t.dtype, name=t.name) for t in self.model.inputs]
        given = keras.tree.pack_sequence_as(self.model.input, specs)
        answer = tf.function(lambda x: self.model(x, training=False))
        return answer.get_concrete_function(given).graph


def task_table(model: Any) -> str:
    """The tasks of a model as a Markdown table."""
    lines = ["| task | kind | output | alpha | parameters of its own |", "| --- " * 5 + "|"]
    alphas = model.loss_weights
    for name in model.task_names:
        task = model.tasks.get(name)
        kind = "-" if task is None else type(task).__name__
        shape = "x".join("?" if s is None else str(s) for s in model.output[name].shape)
        own = sum(int(np.prod(v.shape)) for v in model.task_variables(name))
        lines.append(f"| {name} | {kind} | {shape} | {alphas[name]:g} | {own:,} |")
    shared = sum(int(np.prod(v.shape)) for v in model.shared_variables())
    balancer = "none" if model.balancer is None else type(model.balancer).__name__
    return "\n".join(lines) + f"\n\nShared parameters: {shared:,}. Balancer: {balancer}.\n"


def _tags(model: Any, logs: Any) -> list[tuple[str, Any]]:
    """History keys as tags: `<task>_<metric>` to `<task>/<metric>`."""
    tags = []
    for key, value in (logs or {}).items():
        owners = [t for t in model.task_names if key.startswith(f"{t}_")]
        # Of two tasks that fit, the longer name is the owner: `a_b_loss` is of `a_b`, not of `a`.
        owner = max(owners, key=len, default="")
        tags.append((f"{owner}/{key[len(owner) + 1 :]}" if owner else key, value))
    return tags
