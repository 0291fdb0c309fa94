"""The frame of schemes that gate, and what their gates were in training."""

import abc
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl._relations import Relates, Relation
from keras_mtl.sharing._layered import Layered

# How much of the mean of the gates each step of training makes, once there were so many.
_NEW = 0.01


class Gated(Layered, Relates):
    """A scheme that gives each task its own mixture of experts; write `build` and `mix`.

    The layers are those of each expert. `build` calls `keep_gates`.

    Attributes:
        mean_gates: What each expert counts for each task, `(K, E)`: a running mean over the rows and
            positions of training.
    """

    def keep_gates(self, experts: Sequence[str]) -> None:
        """Makes room for what the gates were in training; on several replicas, each keeps its own.

        Args:
            experts: Names of the E experts that a gate weighs.
        """
        self.expert_names = list(experts)
        self.mean_gates = self.add_weight(
            (len(self.task_names), len(experts)),
            keras.initializers.Constant(1.0 / len(experts)),
            dtype="float32",
            trainable=False,
            autocast=False,
            name="mean_gates",
        )
        self.gated_steps = self.add_weight(
            (), "zeros", dtype="int64", trainable=False, name="gated_steps"
        )

    @abc.abstractmethod
    def mix(self, features: Any, training: bool, mask: Any) -> tuple[list[Any], list[Any]]:
        """The mixtures and the gates they were made with; adds the losses of training.

        Args:
            features: `(..., d)`.
            training: Whether the model trains.
            mask: `features` without its last axis; false where there is padding. Or None.

        Returns:
            The K mixtures, `(..., units[-1])` each, and the K gates, `(..., E)` each.
        """

    def call(self, features: Any, training: bool | None = None, mask: Any = None) -> dict[str, Any]:
        mixtures, gates = self.mix(features, bool(training), mask)
        if training:
            self._note(gates, mask)
        return self._by_task(mixtures)

    def relations(self) -> dict[str, Relation]:
        """The mean gates: what each expert counts for each task."""
        means = ops.convert_to_numpy(self.mean_gates)
        return {"gates": Relation(means, self.task_names, self.expert_names)}

    def gates(self, features: Any) -> dict[str, Any]:
        """What each expert counts for each task.

        Args:
            features: `(B, d)`, `(B, T, d)` or `(B, h, w, d)`, as the scheme reads them.

        Returns:
            `{task: gates}` with gates `(..., E)`, a row or position each; they sum to 1.

        Raises:
            ValueError: If the scheme was not connected to features before.
        """
        if not self.built:
            raise ValueError(
                f"`gates` of a sharing.{type(self).__name__} was called before it is part of a "
                "model; give it to `build_model`, or call `connect` first."
            )
        return self._by_task(self.mix(features, False, None)[1])

    def _note(self, gates: list[Any], mask: Any) -> None:
        gates = [ops.cast(ops.stop_gradient(gate), "float32") for gate in gates]
        now = ops.stack([mean_over_positions(gate, mask) for gate in gates])
        # The mean of all steps first, so that what they began at is not in it.
        share = ops.maximum(1.0 / (ops.cast(self.gated_steps.value, "float32") + 1.0), _NEW)
        self.mean_gates.assign_add(share * (now - self.mean_gates.value))
        self.gated_steps.assign_add(1)

    def _by_task(self, found: list[Any]) -> dict[str, Any]:
        return dict(zip(self.task_names, found, strict=True))


def mean_over_positions(values: Any, mask: Any = None) -> Any:
    """Means over rows and positions, padding left out: `(..., X)` to `(X,)`."""
    axes = tuple(range(len(values.shape) - 1))
    if mask is None:
        return ops.mean(values, axis=axes)
    there = ops.expand_dims(ops.cast(mask, values.dtype), -1)
    # Selected, not multiplied: what a padded position holds may be no number.
    kept = ops.where(there > 0, values, 0)
    return ops.sum(kept, axis=axes) / ops.maximum(ops.sum(there), 1)
