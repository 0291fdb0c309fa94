"""Per-task curves in TensorBoard."""

import keyword
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_mtl._relations import relations
from keras_mtl.callbacks._balancing import balancing_relations
from keras_mtl.callbacks._curves import Curves
from keras_mtl.callbacks._heat_map import heat_map
from keras_mtl.callbacks._hparams import check_hparams, write_end, write_hparams
from keras_mtl.callbacks._layout import custom_scalars_layout

TRAIN, VALIDATION = "train", "validation"
# The folder of the logs itself, a run in which the hyperparameters stand.
ITSELF = "."


class TensorBoard(keras.callbacks.Callback):
    """Writes what TensorBoard draws: each task's curves, loss weights, the graph, the tasks.

    The runs are `train` and `validation`, so that both are on one chart: tags `<task>/loss`,
    `<task>/<metric>`, `loss`; in the training run also `<task>/loss_weight` (alpha),
    `<task>/weighted_loss` (alpha times the loss) and `learning_rate`.

    Of a balancer, means over the steps of the epoch: `<task>/balancer_weight`; and where it looks at
    gradients `<task>/gradient_norm`, the cosine of each two tasks' gradients as a curve and as an image
    (`gradients/...`), and `gradients/conflicting_steps`, the share of steps in which two were at more
    than a right angle. As images, too, what sharing schemes learn of the tasks:
    `relations/MMoE gates`, `relations/Covariance task correlation` (see
    `keras_mtl.evaluation.relations`).

    The page "Custom scalars" opens on one category a task. See it by `tensorboard --logdir LOG_DIR`.

    Args:
        log_dir: The folder of the logs; made if it is not there.
        steps: Above 0, losses and metrics of the running epoch are also written every so many
            batches, under `steps/...`.
        graph: Whether to write the model's graph.
        hparams: What distinguishes this run from others in folders beside it, by name: numbers,
            strings, booleans. The page "HParams" compares such runs.

    Raises:
        ValueError: If `steps` is not a whole number, or negative.
        TypeError: If a hyperparameter is none of these.
        OSError: When training begins, if the folder cannot be written.
    """

    def __init__(
        self,
        log_dir: Any = "logs",
        steps: int = 0,
        graph: bool = True,
        hparams: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        if steps < 0 or steps != int(steps):
            raise ValueError(
                f"`steps` is {steps!r}; expected after how many batches to write, or 0 for epochs "
                "alone."
            )
        self.log_dir = pathlib.Path(log_dir)
        self.steps = int(steps)
        self.graph = graph
        self.hparams = check_hparams(hparams)
        self._writers: dict[str, Any] = {}
        self._before = self._last = 0

    def on_train_begin(self, logs: Any = None) -> None:
        for folder in (self.log_dir, self.log_dir / TRAIN, self.log_dir / VALIDATION):
            _make(folder)
        self._curves = Curves(self.model)
        writer = self._writer(TRAIN)
        with writer.as_default():
            tf.summary.experimental.write_raw_pb(self._layout().SerializeToString(), step=0)
            tf.summary.text("tasks", task_table(self.model), step=0)
            if self.graph:
                tf.summary.graph(self._graph())
        writer.flush()
        if self.hparams:
            with self._writer(ITSELF).as_default():
                write_hparams(self.hparams, self.model.recorded, VALIDATION)
            self._writer(ITSELF).flush()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        # Read here and not when training begins: a backup may be restored in between.
        self._before = self._last = int(ops.convert_to_numpy(self.model.optimizer.iterations))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not self.steps:
            return
        # Several batches may have gone by at once (`steps_per_execution`).
        now = self._before + batch + 1
        if now // self.steps > self._last // self.steps:
            scalars = self._curves.scalars(logs or {})
            self._write(TRAIN, {f"steps/{tag}": value for tag, value in scalars.items()}, now)
        self._last = now

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        trained, validated = self._curves.split(logs or {})
        scalars = {**trained, **self._curves.weighing()}
        for task, alpha in self.model.loss_weights.items():
            if f"{task}/loss" in trained:
                scalars[f"{task}/weighted_loss"] = alpha * trained[f"{task}/loss"]
        self._write(TRAIN, scalars, epoch)
        self._write_relations(epoch)
        if validated:
            self._write(VALIDATION, validated, epoch)

    def on_train_end(self, logs: Any = None) -> None:
        if self.hparams:
            with self._writer(ITSELF).as_default():
                write_end()
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _writer(self, run: str) -> Any:
        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(str(self.log_dir / run))
        return self._writers[run]

    def _write(self, run: str, scalars: dict[str, float], step: int) -> None:
        writer = self._writer(run)
        with writer.as_default():
            for tag, value in scalars.items():
                tf.summary.scalar(tag, value, step=step)
        writer.flush()

    def _write_relations(self, step: int) -> None:
        with self._writer(TRAIN).as_default():
            for title, relation in relations(self.model).items():
                tf.summary.image(f"relations/{title}", heat_map(relation)[None], step=step)
            if self.model.balancer is not None:
                for title, relation in balancing_relations(self.model.balancer).items():
                    tf.summary.image(f"gradients/{title}", heat_map(relation)[None], step=step)

    def _layout(self) -> Any:
        balancer = self.model.balancer
        if balancer is None:
            return custom_scalars_layout(self.model.recorded)
        return custom_scalars_layout(self.model.recorded, balancer.task_names, balancer.recorded)

    def _graph(self) -> Any:
        specs = [
            tf.TensorSpec(t.shape, t.dtype, name=_parameter(t.name, i))
            for i, t in enumerate(self.model.inputs)
        ]
        given = keras.tree.pack_sequence_as(self.model.input, specs)

        @tf.function
        def answer(inputs: Any) -> dict[str, Any]:
            served = self.model(inputs, training=False)
            return {task: tf.identity(served[task], name=task) for task in served}

        return answer.get_concrete_function(given).graph


def task_table(model: Any) -> str:
    """The tasks of a model as a Markdown table."""
    lines = ["| task | kind | output | loss weight | parameters of its own |", "| --- " * 5 + "|"]
    alphas = model.loss_weights
    for name in model.task_names:
        task = model.tasks.get(name)
        kind = "-" if task is None else type(task).__name__
        shape = tuple(model.output[name].shape)
        own = sum(int(np.prod(v.shape)) for v in model.task_variables(name))
        lines.append(f"| {name} | {kind} | {shape} | {alphas[name]:g} | {own:,} |")
    shared = sum(int(np.prod(v.shape)) for v in model.shared_variables())
    balancer = "none" if model.balancer is None else type(model.balancer).__name__
    return "\n".join(lines) + f"\n\nShared parameters: {shared:,}. Balancer: {balancer}.\n"


def _make(folder: pathlib.Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"The log folder {str(folder)!r} cannot be made: {error}; choose another `log_dir`."
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(
            f"The log folder {str(folder)!r} cannot be written; choose another `log_dir`, or change "
            "its permissions."
        )


def _parameter(name: str, index: int) -> str:
    """The name of an input, if Python takes it for a parameter."""
    fit = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    return name if fit else f"input_{index}"
