"""Steps whose losses or gradients are not finite: refused, or taken without the tasks at fault."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_mtl._combination import kept_state, restore
from keras_mtl._forward import NOTHING, Seen
from keras_mtl._optimizer_step import finite as all_finite
from keras_mtl._replicas import replicas, sum_over_replicas

logger = logging.getLogger("keras_mtl")

POLICIES = ("raise", "skip", "ignore")
# After how many batches `fit` looks: no step is taken that is not sound, so that none is missed.
_EVERY = 16


class Attempt(NamedTuple):
    """One step, worked out and not yet taken.

    Attributes:
        run: From which tasks to leave out, booleans by name, to the gradients and what each
            part of the batch showed.
        weigh: The joint loss of what was seen, where tasks were left out.
        states: What a forward pass changes besides weights, such as moving means.
        balancer: The balancer, or None.
    """

    run: Callable[[Any], tuple[list[Any], list[Seen]]]
    weigh: Callable[[Seen], Any]
    states: Sequence[keras.Variable]
    balancer: Any


class Soundness(keras.metrics.Metric):
    """Judges steps, and counts those that are not sound, from one epoch's begin to its end.

    A step is sound if every task's loss is finite, and so are the gradients. No other is ever taken;
    under "ignore" all are, as in stock Keras.

    Args:
        tasks: Names of the K tasks that have a loss.
        policy: "raise", "skip" or "ignore".

    Raises:
        ValueError: If there is no such policy.
    """

    def __init__(self, tasks: Sequence[str], policy: str = "raise"):
        if policy not in POLICIES:
            raise ValueError(
                f"`on_nonfinite` is {policy!r}; expected 'raise' (stop and name the task), 'skip' "
                "(leave the task out of that step) or 'ignore' (as stock Keras)."
            )
        super().__init__(name="soundness")
        self.tasks = list(tasks)
        self.policy = policy
        # How many steps were sound until the first that was not, which tells its place.
        self.before = self.add_variable((), "zeros", name="sound_steps")
        # By task, and last the gradients: at fault in the first step ("raise") or how often ("skip").
        self.faults = self.add_variable((len(self.tasks) + 1,), "zeros", name="faults")

    def settle(self, attempt: Attempt, optimizer: Any) -> tuple[list[Any], list[Seen], Any]:
        """Works a step out as the policy says.

        Args:
            attempt: The step.
            optimizer: One that scales the loss leaves out by itself what overflows.

        Returns:
            The gradients, what was seen, and whether the step is to be taken: a boolean, or None for
            yes without a doubt.
        """
        if self.policy == "ignore":
            return *attempt.run(NOTHING), None
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        states = [(v, ops.copy(v.value)) for v in attempt.states]
        if self.policy == "skip" and attempt.balancer is not None:
            states += kept_state(attempt.balancer)
        gradients, found = attempt.run(NOTHING)
        bad = self._bad(found)
        finite = True if scaled else _everywhere(all_finite(gradients))
        sound = ops.logical_and(ops.logical_not(ops.any(bad)), finite)
        restore(states, unless=sound)
        if self.policy == "raise":
            self._note(sound, bad)
            return gradients, found, sound
        if replicas() > 1:
            raise ValueError(
                "on_nonfinite='skip' does not go with several replicas, which would wait for each "
                "other; use 'raise'."
            )
        # Gradients may be at fault where losses are not; then nobody knows whose they are.
        bad = ops.logical_or(bad, ops.logical_not(ops.logical_or(sound, ops.any(bad))))
        left_out = dict(zip(self.tasks, ops.unstack(bad, len(self.tasks)), strict=True))
        gradients = ops.cond(sound, lambda: gradients, lambda: attempt.run(left_out)[0])
        self.faults.assign_add(ops.cast(ops.append(bad, False), "float32"))
        found = [seen.without(left_out, attempt.weigh) for seen in found]
        taken = ops.logical_and(
            ops.logical_not(ops.all(bad)), True if scaled else all_finite(gradients)
        )
        restore(states, unless=taken)
        return gradients, found, taken

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("call `settle`")

    def result(self) -> dict[str, Any]:
        return {}

    @property
    def skipped(self) -> dict[str, int]:
        """In how many steps of the epoch each task was left out."""
        counts = ops.convert_to_numpy(self.faults)
        return {name: int(n) for name, n in zip(self.tasks, counts[:-1], strict=True)}

    def check(self, epoch: int | None = None) -> None:
        """Stops a training in which a step was not sound.

        Raises:
            FloatingPointError: If there was one under "raise"; it names tasks, epoch and step.
        """
        if self.policy != "raise":
            return
        faults = ops.convert_to_numpy(self.faults)
        if not faults.any():
            return
        step = int(ops.convert_to_numpy(self.before)) // replicas()
        where = f"step {step}" if epoch is None else f"epoch {epoch}, step {step} (both from 0)"
        at_fault = [name for name, n in zip(self.tasks, faults[:-1], strict=True) if n]
        told = (
            f"The loss of {', '.join(map(repr, at_fault))} is not finite"
            if at_fault
            else "The gradient of the joint loss is not finite, though every loss is"
        )
        raise FloatingPointError(
            f"{told} in {where}; the step was not taken, and the weights are sound. Look at that "
            "batch's inputs and labels, lower the learning rate, set clipnorm, or compile with "
            "on_nonfinite='skip' to leave such tasks out of such steps."
        )

    def _bad(self, found: Sequence[Seen]) -> Any:
        """Which losses are not finite, in any part of the batch or any replica, `(K,)`."""
        losses = ops.stack([sum(seen.losses[name] for seen in found) for name in self.tasks])
        return sum_over_replicas(ops.cast(ops.logical_not(ops.isfinite(losses)), "float32")) > 0

    def _note(self, sound: Any, bad: Any) -> None:
        """Counts a step, and which were at fault in the first that was not sound."""
        first = ops.logical_not(ops.any(ops.convert_to_tensor(self.faults) > 0))
        gradients = ops.logical_not(ops.logical_or(sound, ops.any(bad)))
        faults = ops.concatenate([bad, ops.expand_dims(gradients, 0)])
        self.before.assign_add(ops.cast(ops.logical_and(first, sound), "float32"))
        self.faults.assign_add(ops.cast(ops.logical_and(first, faults), "float32"))


class Watch(keras.callbacks.Callback):
    """Looks after batches and epochs whether a step was not sound, and tells which tasks were left out.

    Args:
        soundness: Of the model.
    """

    def __init__(self, soundness: Soundness):
        super().__init__()
        self.soundness = soundness
        self.epoch = self.looked = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.soundness.reset_state()
        self.epoch, self.looked = epoch, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # Several batches may have gone by at once (`steps_per_execution`).
        if batch + 1 - self.looked >= _EVERY:
            self.looked = batch + 1
            self.soundness.check(self.epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.soundness.check(epoch)
        if self.soundness.policy != "skip":
            return
        skipped = self.soundness.skipped
        if logs is not None:
            logs.update({f"{name}_skipped": count for name, count in skipped.items()})
        told = ", ".join(f"{name!r} in {n}" for name, n in skipped.items() if n)
        if told:
            logger.warning("Epoch %d: left out of steps that were not finite: %s.", epoch, told)


def states_of(model: Any, apart: Any) -> list[keras.Variable]:
    """What a forward pass in training changes: variables of layers that no optimizer moves.

    Args:
        model: A `MultiTaskModel`.
        apart: A layer whose variables are none of a forward pass.
    """
    others = {id(layer) for layer in apart._flatten_layers()}
    return [
        variable
        for layer in model._flatten_layers(include_self=False)
        if layer.trainable and id(layer) not in others
        for variable in layer._non_trainable_variables
        if "float" in str(variable.dtype)
    ]


def _everywhere(holds: Any) -> Any:
    """Whether something holds in all replicas."""
    return sum_over_replicas(ops.cast(holds, "float32")) > replicas() - 0.5
