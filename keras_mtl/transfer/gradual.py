"""Thawing a model from the top down while it trains."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_mtl._freezing import freeze, thaw, training, unknown_to, weights_in
from keras_mtl._layers_by_name import Place, select


class Unfreeze(keras.callbacks.Callback):
    """Gradual unfreezing: layers join in at an epoch of their own, most often the top ones first.

    What the schedule names is frozen when `fit` begins and trained from its epoch on. The optimizer is
    built for all of it beforehand, so that its state goes on. `fit(initial_epoch=...)` and
    `keras.callbacks.BackupAndRestore` go on where the schedule is. A kernel to which `enable_lora` gave
    an update stays frozen below it.

    Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018,
    arXiv:1801.06146.

    Args:
        schedule: `{epoch: what}`, epochs counted from 0 as `fit` does, and what as in `freeze`.

    Attributes:
        thawed: The paths of the layers that the last `fit` has thawed so far.

    Raises:
        TypeError: If the schedule is no dict.
        ValueError: If it is empty or an epoch is no whole number; when `fit` begins, if a name stands
            for nothing, or if the optimizer or the balancer has met the model without such a layer.
    """

    def __init__(self, schedule: Mapping[int, str | Iterable[str]]):
        super().__init__()
        if not isinstance(schedule, Mapping):
            raise TypeError(
                "`schedule` of Unfreeze must be a dict such as {2: 'dense_1', 4: 'shared'}, but came "
                f"as a {type(schedule).__name__}."
            )
        epochs = list(schedule)
        if not epochs or any(type(e) is not int or e < 0 for e in epochs):
            raise ValueError(
                f"`schedule` of Unfreeze has the epochs {epochs}; expected one or more whole numbers, "
                "0 for the first epoch."
            )
        self.schedule = {
            epoch: what if isinstance(what, str) else list(what)
            for epoch, what in sorted(schedule.items())
        }
        self.thawed: list[str] = []
        self._waiting: dict[int, list[Place]] = {}

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self.thawed = []
        self._waiting = {
            epoch: select(model, what, "schedule") for epoch, what in self.schedule.items()
        }
        every = [place for found in self._waiting.values() for place in found]
        variables = weights_in(every)
        # Before any callback restores an optimizer's state.
        with model.distribute_strategy.scope(), training(model, variables):
            if not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            _refuse_unmet(model, variables)
        freeze(model, every)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for due in [e for e in self._waiting if e <= epoch]:
            found = self._waiting.pop(due)
            thaw(self.model, found)
            self.thawed += [p.path for p in found if weights_in([p]) and p.path not in self.thawed]


def _refuse_unmet(model: Any, variables: list[keras.Variable]) -> None:
    unknown = unknown_to(model.optimizer, variables)
    if unknown:
        raise ValueError(
            f"Unfreeze is to thaw {unknown}, which the optimizer was built without; compile the model "
            "again and give Unfreeze to the first `fit`."
        )
    if model.balancer is None or not model.balancer.keeps:
        return
    wanted = {id(v) for v in variables}
    for shared in [v for v in model.shared_variables() if id(v) in wanted]:
        try:
            model.balancer.memory(shared)
        except ValueError as error:
            raise ValueError(
                f"{type(model.balancer).__name__} keeps gradients of what it met in `compile`, when "
                f"{shared.path!r} was frozen; compile before freezing what Unfreeze is to thaw."
            ) from error
