"""What `fit` does at the bounds of epochs besides what the user asked for."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_mtl._closing import closing_last
from keras_mtl._compile import prepared


class EpochClock(keras.callbacks.Callback):
    """Tells the balancer of epochs, makes the optimizer ready, and brings data to where a run goes on.

    The optimizer makes its variables before the first step is traced: TensorFlow traces a step that
    makes variables twice.

    A shuffled `tf.data` pipeline gives another order each time it is read. A run that
    `keras.callbacks.BackupAndRestore` resumes in epoch e has not read it e times, so it is read (one
    batch each) as often as the lost run had. Pipelines of `keras_mtl.data` then go on in the same
    order; one that shuffles by itself may not, as Keras makes iterators that it does not read.

    Args:
        data: What `fit` was given as `x`.
        initial_epoch: The epoch that `fit` was told to begin with.
    """

    def __init__(self, data: Any, initial_epoch: int):
        super().__init__()
        self.data = data
        self.expected: int | None = initial_epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        # Not when training begins, when other callbacks may still thaw layers or restore a run.
        with self.model.distribute_strategy.scope():
            prepared(self.model.optimizer, self.model.trainable_variables)
        if self.model.balancer is not None:
            self.model.balancer.record.reset()
        if self.expected is None:
            return
        missed, self.expected = epoch - self.expected, None
        if (
            isinstance(self.data, Iterable)
            and not isinstance(self.data, Iterator)
            and is_dataset(self.data)
        ):
            for _ in range(missed):
                next(iter(self.data), None)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.model.balancer is not None:
            record = self.model.balancer.record
            record.of_epoch = record.summary()
            self.model.balancer.on_epoch_end()


def before(callbacks: Any, *ours: keras.callbacks.Callback) -> Any:
    """The user's callbacks with ours before them, so that they see what ours have done."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        for callback in ours:
            callbacks.append(callback)
        callbacks.callbacks[:] = closing_last(callbacks.callbacks)
        return callbacks
    return closing_last([*ours, *keras.tree.flatten(callbacks or [])])


def is_dataset(data: Any) -> bool:
    """Whether `data` is a `tf.data.Dataset`, which says itself what its elements are."""
    return getattr(data, "element_spec", None) is not None
