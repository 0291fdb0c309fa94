"""What is counted while training: each task's loss and metrics, over the labels that are there."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl._replicas import sum_over_replicas


class TaskMetrics(keras.metrics.Metric):
    """Every task's mean loss and metrics, kept in one object under `<task>_<metric>` keys.

    The K losses share two vectors of state, so that counting them costs two small operations a
    step whatever K is.

    Args:
        losses: Names of the tasks that have a loss, K of them.
        metrics: Keras metrics by task name.
        weighted: Which of those metrics are weighted by `sample_weight`, by task name.
        prepare: By task name, a function that brings `(labels, served, present)` to the shapes that
            the task's metrics take; tasks that are not named need none.
    """

    def __init__(
        self,
        losses: Sequence[str],
        metrics: Mapping[str, Sequence[keras.metrics.Metric]],
        weighted: Mapping[str, Sequence[keras.metrics.Metric]],
        prepare: Mapping[str, Callable[..., tuple[Any, Any, Any]]],
    ):
        super().__init__(name="tasks")
        self.losses = list(losses)
        self.of_task = {name: list(found) for name, found in metrics.items()}
        self.weighted_of_task = {name: list(found) for name, found in weighted.items()}
        self.prepare = dict(prepare)
        k = (len(self.losses),)
        self.totals = self.add_variable(shape=k, initializer="zeros", name="totals")
        self.counts = self.add_variable(shape=k, initializer="zeros", name="counts")

    def update(self, seen: Any, task_losses: Mapping[str, Any]) -> None:
        """Adds what a forward pass has found of the tasks (`_forward.Seen`)."""
        counts = ops.stack(list(seen.counts.values()))
        # A replica's loss is its share of the mean over the labels of all.
        self.update_losses(list(seen.losses.values()), counts, sum_over_replicas(counts))
        for name, loss in task_losses.items():
            labels = seen.labels.get(name)
            if labels is None:
                continue
            present = loss.present(labels)
            if name in seen.left_out:
                present = ops.logical_and(present, ops.logical_not(seen.left_out[name]))
            self.update_task(name, labels, seen.served[name], present, seen.weights.get(name))

    def update_losses(self, values: Sequence[Any], counts: Any, divisors: Any) -> None:
        """Adds one batch's K mean losses.

        Args:
            values: Each is a sum over labels, divided by its divisor.
            counts: `(K,)`, how many labels they are.
            divisors: `(K,)`: the same, unless there are replicas.
        """
        self.totals.assign_add(ops.stack(list(values)) * divisors)
        self.counts.assign_add(counts)

    def update_task(
        self, task: str, labels: Any, served: Any, present: Any, sample_weight: Any
    ) -> None:
        """Adds one batch of a task's labels and served outputs to its metrics."""
        metrics = self.of_task.get(task, [])
        weighted = self.weighted_of_task.get(task, [])
        if not metrics and not weighted:
            return
        labels = ops.where(present, labels, ops.zeros_like(labels))
        weight = ops.cast(present, "float32")
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, "float32")
            while len(sample_weight.shape) < len(weight.shape):
                sample_weight = ops.expand_dims(sample_weight, -1)
            sample_weight = weight * sample_weight
        if task in self.prepare:
            prepare = self.prepare[task]
            if weighted and sample_weight is not None:
                _, _, sample_weight = prepare(labels, served, sample_weight)
            labels, served, weight = prepare(labels, served, weight)
        else:
            weight = _a_row(weight, served, smallest=True)
            if sample_weight is not None:
                sample_weight = _a_row(sample_weight, served, smallest=False)
        for metric in metrics:
            metric.update_state(labels, served, sample_weight=weight)
        for metric in weighted:
            metric.update_state(
                labels, served, sample_weight=weight if sample_weight is None else sample_weight
            )

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("call `update`")

    def keys_of_task(self) -> dict[str, list[str]]:
        """What is recorded of each task, without the task's name."""
        keys: dict[str, list[str]] = {name: ["loss"] for name in self.losses}
        for found in (self.of_task, self.weighted_of_task):
            for name, metrics in found.items():
                keys.setdefault(name, []).extend(metric.name for metric in metrics)
        return keys

    def result(self) -> dict[str, Any]:
        means = ops.unstack(ops.divide_no_nan(self.totals, self.counts), len(self.losses))
        results = {f"{name}_loss": mean for name, mean in zip(self.losses, means, strict=True)}
        for found in (self.of_task, self.weighted_of_task):
            for name, metrics in found.items():
                results.update({f"{name}_{metric.name}": metric.result() for metric in metrics})
        return results

    def reset_state(self) -> None:
        super().reset_state()
        for found in (self.of_task, self.weighted_of_task):
            for metrics in found.values():
                for metric in metrics:
                    metric.reset_state()


def resolve_metrics(given: Any, loss: Any, served: Any) -> list[keras.metrics.Metric]:
    """Keras metrics from what `compile` was given for one task: names, functions or objects.

    `"accuracy"` and `"crossentropy"` become the form that goes with the task's loss and output.
    """
    if given is None:
        return []
    found = given if isinstance(given, (list, tuple)) else [given]
    return [_resolve(one, loss, served) for one in found]


def _resolve(identifier: Any, loss: Any, served: Any) -> keras.metrics.Metric:
    if isinstance(identifier, keras.metrics.Metric):
        return identifier
    kind = str(identifier).lower()
    if kind in ("accuracy", "acc", "crossentropy", "ce"):
        form = _form(loss, served)
        classes = {
            ("a", "binary"): keras.metrics.BinaryAccuracy,
            ("a", "sparse"): keras.metrics.SparseCategoricalAccuracy,
            ("a", "dense"): keras.metrics.CategoricalAccuracy,
            ("c", "binary"): keras.metrics.BinaryCrossentropy,
            ("c", "sparse"): keras.metrics.SparseCategoricalCrossentropy,
            ("c", "dense"): keras.metrics.CategoricalCrossentropy,
        }
        return classes[kind[0], form](name=identifier)
    metric = keras.metrics.get(identifier)
    name = identifier if isinstance(identifier, str) else getattr(metric, "__name__", "metric")
    if isinstance(metric, keras.metrics.Metric):
        if isinstance(identifier, str):
            metric.name = identifier
        return metric
    return keras.metrics.MeanMetricWrapper(metric, name=name)


def _form(loss: Any, served: Any) -> str:
    fn = getattr(loss, "fn", loss)
    binary = (keras.losses.binary_crossentropy, keras.losses.binary_focal_crossentropy)
    if served.shape[-1] == 1 or fn in binary:
        return "binary"
    dense = (keras.losses.categorical_crossentropy, keras.losses.categorical_focal_crossentropy)
    return "dense" if fn in dense or fn in (keras.losses.mean_squared_error,) else "sparse"


def _a_row(weight: Any, served: Any, *, smallest: bool) -> Any:
    """Brings label-shaped weights to one a row (or one a position) of the served output."""
    if len(weight.shape) == len(served.shape) and len(weight.shape) > 1:
        return ops.min(weight, axis=-1) if smallest else ops.mean(weight, axis=-1)
    return weight
