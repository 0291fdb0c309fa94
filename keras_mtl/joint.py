"""The joint loss L = sum_k alpha_k L_k, the alphas fixed, scheduled or traded by a balancer."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._names import refuse_unknown

Schedule: Any = keras.optimizers.schedules.LearningRateSchedule


class JointLoss(keras.layers.Layer):
    """What becomes of K task losses: the alphas, a balancer if there is one, and their state.

    It is a part of the model that no input flows through: it holds the variables that must be
    saved, restored and checkpointed with the model.

    Args:
        task_names: The K tasks, in the order of every `(K,)` vector.
    """

    def __init__(self, task_names: Sequence[str]):
        super().__init__(name="joint_loss")
        self.task_names = list(task_names)
        self.alphas = self.add_weight(
            shape=(len(self.task_names),), initializer="ones", trainable=False, name="loss_weights"
        )
        self.schedules: dict[str, Any] = {}
        self._balancers: list[Any] = []

    @property
    def balancer(self) -> Any:
        """The balancer, or None."""
        return self._balancers[0] if self._balancers else None

    def configure(
        self,
        loss_weights: Mapping[str, Any] | None,
        balancer: Any,
        trained: Sequence[str],
        shared: Sequence[keras.Variable],
    ) -> None:
        """Sets the alphas (1 where none is given) and the balancer of the tasks in `trained`.

        Args:
            loss_weights: Of `compile`.
            balancer: Of `compile`.
            trained: The tasks that have a loss.
            shared: What two or more tasks depend on, whose gradients a balancer may keep.
        """
        weights = check_loss_weights(loss_weights, self.task_names)
        self.schedules = {}
        self.assign(dict.fromkeys(self.task_names, 1.0))
        self.assign(weights)
        self._balancers.clear()
        if balancer is not None:
            balancer.bind(trained, shared)
            self._balancers.append(balancer)

    def assign(self, weights: Mapping[str, Any]) -> bool:
        """Changes some alphas; True if a compiled step must be traced anew to take notice."""
        values = np.array(ops.convert_to_numpy(self.alphas))
        scheduled = dict(self.schedules)
        for name, weight in weights.items():
            scheduled.pop(name, None)
            if isinstance(weight, Schedule):
                scheduled[name] = weight
            else:
                values[self.task_names.index(name)] = weight
        self.alphas.assign(values)
        changed = scheduled != self.schedules
        self.schedules = scheduled
        return changed

    def current(self, step: Any) -> dict[str, Any]:
        """The alpha of every task at optimizer step `step`."""
        fixed = dict(
            zip(self.task_names, ops.unstack(self.alphas, len(self.task_names)), strict=True)
        )
        return {
            name: ops.cast(self.schedules[name](step), "float32")
            if name in self.schedules
            else fixed[name]
            for name in self.task_names
        }

    def total(self, losses: Mapping[str, Any], step: Any) -> Any:
        """The alpha-weighted joint loss that is reported, `()`, whatever the balancer."""
        weighted = self.weighted(losses, step)
        # Added one after the other as stock Keras does, so that the bits are the same.
        return sum(weighted[1:], weighted[0])

    def weighted(self, losses: Mapping[str, Any], step: Any) -> list[Any]:
        """The loss of each trained task times its alpha at optimizer step `step`."""
        alphas = self.current(step)
        return [losses[name] * alphas[name] for name in losses]

    def load_own_variables(self, store: Any) -> None:
        # A weights file of a stock Keras model holds no alphas: keep the ones that are set.
        if len(store.keys()) > 0:
            super().load_own_variables(store)


def check_loss_weights(given: Any, task_names: Sequence[str]) -> dict[str, Any]:
    """Checks `loss_weights` at the door.

    Raises:
        TypeError: If it is not a mapping from task names to numbers or schedules.
        ValueError: If a task is unknown or a weight is negative or not finite.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            f"`loss_weights` must be a dict from task names to numbers, but came as a "
            f"{type(given).__name__}; nothing is matched by position, so write "
            f"{{{task_names[0]!r}: ..., ...}}."
        )
    refuse_unknown("loss_weights", given, task_names)
    for name, weight in given.items():
        if isinstance(weight, Schedule):
            continue
        if isinstance(weight, bool) or not isinstance(weight, (int, float, np.number)):
            raise TypeError(
                f"`loss_weights` of task {name!r} is {weight!r} of type {type(weight).__name__}; "
                "expected a number or a keras.optimizers.schedules.LearningRateSchedule."
            )
        if not math.isfinite(weight) or weight < 0:
            raise ValueError(
                f"`loss_weights` of task {name!r} is {weight!r}; expected a finite number that is "
                "not negative (0 switches the task off)."
            )
    return dict(given)
