"""The model: a functional `keras.Model` that knows its tasks by name."""

import functools
import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import balancing
from keras_mtl._by_name import inputs_in, texts_as_tensors
from keras_mtl._closing import failures_told
from keras_mtl._compile import prepared, resolve, resolve_multipliers
from keras_mtl._door import checked, split_class_weight, training_labels
from keras_mtl._epochs import EpochClock, before
from keras_mtl._forward import Seen
from keras_mtl._freezing import bring_back, states_of, to_thaw, training, without_states
from keras_mtl._functional import declare_functional, note_parts
from keras_mtl._graph import TaskGraph, variables_of
from keras_mtl._lora import AdapterStates, adapted_in
from keras_mtl._losses import TaskLoss, class_weight_tables, same_tables
from keras_mtl._metrics import TaskMetrics
from keras_mtl._names import check_task_names, refuse_unknown
from keras_mtl._prediction import Prediction
from keras_mtl._replicas import reducible, replicas, sum_over_replicas
from keras_mtl._seeds import SeedStates, seeds_of
from keras_mtl._soundness import Soundness, Watch
from keras_mtl._step import Step
from keras_mtl.joint import JointLoss, check_loss_weights


@keras.saving.register_keras_serializable("keras_mtl")
class MultiTaskModel(keras.Model):
    """A functional Keras model whose outputs are tasks: named, balanced, labelled or not.

    Used as `keras.Model` is; `compile` and `fit` take a few things more. The outputs' keys are the
    tasks' names, and the keys of their labels, losses, metrics, history entries and signatures.
    Labels that are missing (NaN, or -1 where labels are integers) are left out of losses and
    metrics as if the row were not in the batch for that task.

    Args:
        inputs: The inputs, as `keras.Model` takes them.
        outputs: The output of each task, `{name: KerasTensor}`.
        name: The model's name.
        tasks: Task objects that describe outputs of your own (already activated), so that
            `keras_mtl.evaluate` can judge them; outputs made by a task's `head` need none.

    Raises:
        TypeError: If `outputs` is not a dict.
        ValueError: If task names are not fit to be told apart, or a described task has no output.

    Example:

    >>> inputs = keras.Input((4,), name="x")
    >>> hidden = keras.layers.Dense(8, activation="relu")(inputs)
    >>> model = MultiTaskModel(inputs, {
    ...     "price": keras.layers.Dense(1)(hidden),
    ...     "sold": keras.layers.Dense(1, activation="sigmoid")(hidden),
    ... })
    >>> model.compile("adam", loss={"price": "mse", "sold": "binary_crossentropy"})
    >>> model.task_names
    ['price', 'sold']
    """

    layer_states: Mapping[str, Any] = {}

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        name: str | None = None,
        *,
        tasks: Sequence[Any] = (),
        **kwargs: Any,
    ):
        if not isinstance(outputs, Mapping):
            raise TypeError(
                f"`outputs` must be a dict from task names to tensors, but came as a "
                f"{type(outputs).__name__}; write {{'price': tensor, ...}}."
            )
        outputs = dict(outputs)
        flat_inputs = keras.tree.flatten(inputs)
        check_task_names(outputs, [tensor.name for tensor in flat_inputs])
        refuse_unknown("tasks", [task.name for task in tasks], outputs)
        for task in tasks:
            if not isinstance(outputs[task.name]._keras_history.operation, Prediction):
                outputs[task.name] = Prediction(task, scores=False)(outputs[task.name])
        declare_functional(MultiTaskModel)
        super().__init__(inputs, outputs, name=name, **kwargs)
        self._graph = TaskGraph(inputs, outputs)
        self._task_names = tuple(outputs)
        self._joint = JointLoss(self.task_names)
        self._seeds = SeedStates(functools.partial(seeds_of, self))
        self._adapters = AdapterStates(functools.partial(adapted_in, self))
        note_parts(self, self._joint, self._seeds, self._adapters)
        self.task_losses: dict[str, TaskLoss] = {}
        self._task_metrics: TaskMetrics | None = None
        self._multipliers: Mapping[int, float] = {}

    # What the model is made of.

    @property
    def task_names(self) -> list[str]:
        """The tasks, in the order in which the outputs were given."""
        return list(self._task_names)

    @property
    def label_names(self) -> list[str]:
        """What labels may be of: the tasks, and the domains that layers ask for in training."""
        return [*self.task_names, *self._graph.domains]

    @property
    def tasks(self) -> dict[str, Any]:
        """The task object of each output that has one."""
        return {name: layer.task for name, layer in self._graph.predictions.items()}

    @property
    def balancer(self) -> Any:
        """The balancer that `compile` was given, or None."""
        return self._joint.balancer

    @property
    def recorded(self) -> dict[str, list[str]]:
        """What the history holds of each task, `<task>_<name>`: "loss" and its metrics."""
        return {} if self._task_metrics is None else self._task_metrics.keys_of_task()

    @property
    def loss_weights(self) -> dict[str, float]:
        """The alpha of each task now; assign a dict to change some of them at the next step."""
        step = 0 if self.optimizer is None else self.optimizer.iterations
        return {
            name: float(ops.convert_to_numpy(alpha))
            for name, alpha in self._joint.current(step).items()
        }

    @loss_weights.setter
    def loss_weights(self, weights: Mapping[str, Any]) -> None:
        if self._joint.assign(check_loss_weights(weights, self.task_names)) and self.compiled:
            self.make_train_function(force=True)
            self.make_test_function(force=True)

    def task_model(self, task: str) -> "MultiTaskModel":
        """A model that answers one task without the cost of the others; the weights are shared.

        Raises:
            ValueError: If there is no such task.
        """
        refuse_unknown("task", [task], self.task_names)
        inputs, output = self._graph.of_task(task, self.inputs)
        return self._with(inputs, {task: output}, task)

    def new_task(self, task: Any, *, keep: bool = False) -> "MultiTaskModel":
        """A model of a new task on the features that all tasks here share; these weights are shared.

        Args:
            task: An object of `keras_mtl.tasks`.
            keep: Whether the tasks that are here are kept beside it.

        Raises:
            ValueError: If the tasks here have no features in common, or one has its name and is kept.
        """
        outputs = self._graph.with_task(task, keep=keep)
        return self._with(self._inputs_struct, outputs, task.name)

    def _with(self, inputs: Any, outputs: Mapping[str, Any], name: str) -> "MultiTaskModel":
        with warnings.catch_warnings():
            # Of keys that are not their tensors' names Keras has warned when this model was made.
            warnings.filterwarnings("ignore", message="When providing `inputs` as a dict")
            return MultiTaskModel(inputs, outputs, name=f"{self.name}_{name}")

    def layers_of(self, part: str) -> list[Any]:
        """The layers of "shared", which tasks (or the head of the only one) stand on, or of a task."""
        return self._graph.layers_of(part)

    def shared_variables(self) -> list[keras.Variable]:
        """The trainable variables of what is shared; see `layers_of`."""
        return variables_of(self.layers_of("shared"))

    def task_variables(self, task: str) -> list[keras.Variable]:
        """The trainable variables of what this task has to itself; see `layers_of`."""
        refuse_unknown("task", [task], self.task_names)
        return variables_of(self.layers_of(task))

    # How it is compiled.

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Mapping[str, Any] | None = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        balancer: Any = None,
        learning_rate_multipliers: Mapping[str, float] | None = None,
        on_nonfinite: str = "raise",
        **kwargs: Any,
    ) -> None:
        """Configures the model for training, as `keras.Model.compile` does.

        Args:
            optimizer: As in Keras.
            loss: `{task: loss}`, or one loss for all tasks; a task that is not named has its own.
                A task without a loss is served and not trained.
            loss_weights: `{task: alpha}`, numbers or
                `keras.optimizers.schedules.LearningRateSchedule` objects of the optimizer's step;
                1 where a task is not named.
            metrics: `{task: metric or list of them}` over the labels that are there; a task that is
                not named has its own.
            weighted_metrics: The same, weighted by `sample_weight`.
            balancer: A name of `keras_mtl.balancing.names()`, a balancer, or None for fixed alphas.
            learning_rate_multipliers: `{"shared": m, task: m, layer: m}`: how much of each optimizer
                step they take; layers as `keras_mtl.transfer.freeze` is told them, the inner first.
            on_nonfinite: What to do where a task's loss, or a gradient, is NaN or infinite. No such step
                is taken. "raise" stops with an error that names task, epoch and step; "skip" leaves the
                task out of that step and counts it as `<task>_skipped`; "ignore" does as stock Keras.
            **kwargs: `run_eagerly`, `steps_per_execution`, `jit_compile`, `auto_scale_loss`, as in
                Keras.

        Raises:
            TypeError: If something is given by position rather than by task name.
            ValueError: If a task is unknown, a weight is negative, no task has a loss, or two
                curves would get one name.
        """
        optimizer = keras.optimizers.get(optimizer)
        losses, task_metrics = resolve(self._graph, self.output, loss, metrics, weighted_metrics)
        multipliers = resolve_multipliers(learning_rate_multipliers, self)
        balancer = balancing.get(balancer)
        self._joint.configure(loss_weights, balancer, list(losses), self._graph.shared_variables())
        soundness = Soundness(list(losses), on_nonfinite)
        super().compile(optimizer=optimizer, **kwargs)
        # As they are: Keras would track dicts and metrics that are assigned to a model.
        for attribute, value in {
            "task_losses": losses,
            "_task_metrics": task_metrics,
            "_multipliers": multipliers,
            "_step": Step(self, self._graph, self._joint, losses, soundness),
            "_compile_arguments": {
                "optimizer": optimizer,
                "loss": loss,
                "loss_weights": loss_weights and dict(loss_weights),
                "metrics": metrics,
                "weighted_metrics": weighted_metrics,
                "balancer": balancer,
                "learning_rate_multipliers": learning_rate_multipliers,
                "on_nonfinite": on_nonfinite,
                **kwargs,
            },
        }.items():
            object.__setattr__(self, attribute, value)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        declare_functional(MultiTaskModel)
        config, states = without_states(config)
        return bring_back(super().from_config(config, custom_objects=custom_objects), states)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **states_of(self)}

    def get_compile_config(self) -> dict[str, Any]:
        if not self.compiled:
            return {}
        return keras.saving.serialize_keras_object(self._compile_arguments)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        with training(self, to_thaw(self)):
            self.compile(**keras.saving.deserialize_keras_object(config))
            self.optimizer.build(self.trainable_variables)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        own = [] if self._task_metrics is None else [self._task_metrics]
        return [*super().metrics, *own]

    # How one step goes.

    def train_step(self, data: Any) -> dict[str, Any]:
        variables = prepared(self.optimizer, self.trainable_variables)
        seen, logs = self._step.take(data, variables, self._multipliers), {}
        for x, found in seen:
            logs = self._record(x, found)
        return logs

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        return self._record(x, self._step.forward(x, y, sample_weight, training=False))

    def predict_step(self, data: Any) -> dict[str, Any]:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self(inputs_in(self._inputs_struct, x), training=False)

    def _record(self, x: Any, seen: Seen) -> dict[str, Any]:
        rows = ops.shape(next(t for t in keras.tree.flatten(x) if t is not None))[0]
        joint = seen.joint
        if replicas() > 1:
            # Each replica's loss is its share of the whole, and not all have as many rows.
            own = ops.cast(rows, "float32")
            joint = joint * ops.divide_no_nan(sum_over_replicas(own), own)
        self._loss_tracker.update_state(joint, rows)
        assert self._task_metrics is not None
        self._task_metrics.update(seen, self.task_losses)
        return reducible(self.get_metrics_result())

    def _maybe_symbolic_build(self, *args: Any, **kwargs: Any) -> None:
        # Keras would try a batch, of which workers have none in common; all but this is built already.
        if self._distribute_strategy is not None and not self.optimizer.built:
            with self._distribute_strategy.scope():
                prepared(self.optimizer, self.trainable_variables)

    # How it is fitted.

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains the model, as `keras.Model.fit` does.

        Beyond Keras: `class_weight` may be `{task: {class id: weight}}`; `y` and `sample_weight`
        may leave tasks out; the history holds `<task>_loss` for every task; what tasks learn from
        labels beforehand (target scales, balanced class weights) is learnt at the first call.

        Raises:
            TypeError: If labels or weights are given by position.
            ValueError: If labels, inputs or weights do not go with the model's tasks.
        """
        self._assert_compile_called("fit")
        given = inspect.signature(super().fit).bind(x, y, *args, **kwargs).arguments
        self._set_class_weight(split_class_weight(given.pop("class_weight", None), self.task_names))
        y, weights = checked(self, x, y, given.get("sample_weight"))
        self._graph.check_domains(y)
        waiting = [name for name, layer in self._graph.predictions.items() if layer.needs_labels]
        self.adapt(training_labels(waiting, x, y, given.get("steps_per_epoch")))
        if y is None and not isinstance(x, keras.utils.PyDataset):
            # Data sets and generators are shuffled by themselves; Keras warns of its own default.
            given["shuffle"] = False
        clock = EpochClock(x, given.get("initial_epoch", 0))
        given["callbacks"] = before(given.get("callbacks"), clock, Watch(self._step.soundness))
        with failures_told(given["callbacks"]):
            return super().fit(
                **{**given, "x": texts_as_tensors(x), "y": y, "sample_weight": weights}
            )

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Losses and Keras metrics, as `keras.Model.evaluate`; see `keras_mtl.evaluate` too."""
        y, kwargs["sample_weight"] = checked(self, x, y, kwargs.get("sample_weight"))
        return super().evaluate(texts_as_tensors(x), y, *args, **kwargs)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """One step on one batch, as `keras.Model.train_on_batch`; stops if it is not sound."""
        self._assert_compile_called("train_on_batch")
        self._step.soundness.reset_state()
        logs = super().train_on_batch(*args, **kwargs)
        self._step.soundness.check()
        return logs

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The served output of every task, `{task: array}`, as `keras.Model.predict`."""
        return super().predict(texts_as_tensors(x), *args, **kwargs)

    def adapt(self, labels: Mapping[str, np.ndarray]) -> None:
        """Learns target scales and balanced class weights from training labels.

        `fit` does so by itself unless its data can be read only once.

        Args:
            labels: All training labels by task; missing ones are left out.
        """
        refuse_unknown("labels", labels, self._graph.predictions)
        for name, values in labels.items():
            self._graph.predictions[name].adapt(np.asarray(values))

    def accepts_missing(self, name: str) -> bool:
        """Whether input `name` may hold NaN, because what reads it deals with missing values."""
        return self._graph.accepts_missing(name)

    def _set_class_weight(self, class_weight: Mapping[str, Mapping[int, float]]) -> None:
        tables = class_weight_tables(class_weight, self.output)
        if not same_tables(tables, self._step.class_weight):
            # The weights are constants of the compiled step.
            self.train_function = None
        self._step.class_weight = tables
