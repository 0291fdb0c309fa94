"""A callback that comes after all others and knows them: it keeps their state, and is told of failures."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras


class Closing(keras.callbacks.Callback):
    """A callback that `fit` puts behind all others, so that it sees what they have made of an epoch.

    Attributes:
        others: The callbacks before it, in their order, the history among them.
    """

    others: Sequence[Any] = ()

    def on_failure(self, error: BaseException) -> None:
        """Takes notice that `fit` was left by this error, an interruption by the user among them."""


def closing_last(callbacks: list[Any]) -> list[Any]:
    """These callbacks with the closing ones behind the others, which they are told of."""
    closing = [c for c in callbacks if isinstance(c, Closing)]
    if not closing:
        return callbacks
    others = [c for c in callbacks if not isinstance(c, Closing)]
    if not any(isinstance(c, keras.callbacks.History) for c in others):
        # Keras would put its own behind the closing ones.
        history = keras.callbacks.History()
        history.set_model(closing[0].model)
        others.append(history)
    for callback in closing:
        callback.others = others
    return [*others, *closing]


@contextlib.contextmanager
def failures_told(callbacks: Any) -> Iterator[None]:
    """Tells the closing callbacks of an error that leaves the block."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    try:
        yield
    except BaseException as error:
        for callback in callbacks:
            if isinstance(callback, Closing):
                callback.on_failure(error)
        raise
