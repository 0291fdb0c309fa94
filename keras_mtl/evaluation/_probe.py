"""What each task alone does to what tasks share, tried on a twin of the model."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def twin_of(model: Any, **changes: Any) -> Any:
    """A model of its own with the same layers, weights and random states, compiled the same.

    Args:
        model: A compiled `MultiTaskModel`.
        **changes: Arguments of `compile` that are to be different.

    Raises:
        ValueError: If the model is not compiled.
    """
    if not model.compiled:
        raise ValueError("The model is not compiled, so that it has no losses; call `compile`.")
    before = random.getstate()
    try:
        twin = type(model).from_config(model.get_config())
        arguments = keras.saving.deserialize_keras_object(model.get_compile_config())
        twin.compile(**{**arguments, "steps_per_execution": 1, **changes})
    finally:
        # Layers draw their seeds from it; models made later are those that would have been.
        random.setstate(before)
    follow(twin, model)
    return twin


def follow(twin: Any, model: Any) -> None:
    """Gives a twin the weights and random states of the model's layers."""
    for own, original in zip(twin.layers, model.layers, strict=True):
        for mine, its in zip(own.variables, original.variables, strict=True):
            mine.assign(its)


class Probe:
    """Steps of single tasks from where a model is; the model itself sees nothing of them.

    Passes are those of training, with the same dropout for every task. What layers add to the loss,
    such as regularisation, belongs to no task and is left out of the gradients.

    Args:
        model: A compiled `MultiTaskModel`.

    Attributes:
        model: The model.
        task_names: Its tasks that have a loss, K of them.

    Raises:
        ValueError: If the model is not compiled, has fewer than two tasks with a loss, or shares
            nothing that is trained.
    """

    def __init__(self, model: Any):
        self.model = model
        # The first velocity of momentum is the negative gradient, to the last bit.
        optimizer = keras.optimizers.SGD(1.0, momentum=0.5)
        self._twin = twin_of(
            model,
            optimizer=optimizer,
            balancer=None,
            loss_weights=None,
            learning_rate_multipliers=None,
            metrics=dict.fromkeys(model.task_names, ()),
            weighted_metrics=None,
            auto_scale_loss=False,
            jit_compile=False,
            # What is not finite is told here, by what was measured.
            on_nonfinite="ignore",
        )
        self.task_names = list(model.task_losses)
        self._shared = self._twin.shared_variables()
        if len(self.task_names) < 2 or not self._shared:
            raise ValueError(
                f"The model has losses of {self.task_names} and {len(self._shared)} trainable "
                "variables that several tasks share; expected two tasks or more that share some."
            )
        optimizer.build(self._twin.trainable_variables)
        self._velocities = list(optimizer.momentums)
        at = {id(v): i for i, v in enumerate(self._twin.trainable_variables)}
        self._places = [at[id(v)] for v in self._shared]

    def gradients(self, batch: Sequence[Any]) -> tuple[np.ndarray, list[list[Any]]]:
        """Each task's loss, and its gradient of what is shared.

        Args:
            batch: `(inputs, labels)` or `(inputs, labels, weights)`.

        Returns:
            The losses `(K,)`, before alpha, 0 where the batch has no label of the task; and for each
            task the gradients of its loss times its alpha, one for each shared variable.

        Raises:
            ValueError: If a loss is not finite.
        """
        alphas = self.model.loss_weights
        losses, added = self._pass(batch, {})
        found = []
        for name in self.task_names:
            _, whole = self._pass(batch, {name: alphas[name]})
            found.append([g - more for g, more in zip(whole, added, strict=True)])
        return losses, found

    def losses_after(self, batch: Sequence[Any], step: Sequence[Any]) -> np.ndarray:
        """Each task's loss, `(K,)`, after the shared variables have moved by `step`.

        Raises:
            ValueError: If a loss is not finite.
        """
        return self._pass(batch, {}, step)[0]

    def _pass(
        self, batch: Sequence[Any], alphas: Mapping[str, float], step: Sequence[Any] | None = None
    ) -> tuple[np.ndarray, list[Any]]:
        follow(self._twin, self.model)
        if step is not None:
            for variable, move in zip(self._shared, step, strict=True):
                variable.assign_add(move)
        for velocity in self._velocities:
            velocity.assign(ops.zeros_like(velocity))
        self._twin.loss_weights = {n: alphas.get(n, 0.0) for n in self._twin.task_names}
        self._twin.reset_metrics()
        logs = self._twin.train_on_batch(*batch, return_dict=True)
        losses = np.array([float(logs[f"{name}_loss"]) for name in self.task_names])
        if not np.isfinite(losses).all():
            told = dict(zip(self.task_names, losses.tolist(), strict=True))
            after = " after a look-ahead" if step is not None else ""
            raise ValueError(
                f"The losses{after} are {told}; expected finite numbers: lower the learning rate, or "
                "look for labels and inputs out of range."
            )
        return losses, [ops.negative(self._velocities[i]) for i in self._places]
