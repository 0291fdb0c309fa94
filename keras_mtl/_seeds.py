"""The states of random layers, saved with the model: a resumed run drops out what it would have."""

from collections.abc import Callable, Sequence
from typing import Any

import keras


class SeedStates(keras.layers.Layer):
    """Saves and loads the seed generators of a model, which Keras leaves out of its files.

    A file without them (of a stock Keras model), or with another number of them, is loaded all the
    same: the draws then start anew, as they do in stock Keras.

    Args:
        states: Tells the model's seed states, always in the same order.
    """

    def __init__(self, states: Callable[[], Sequence[keras.Variable]]):
        super().__init__(name="seed_states")
        self.states = states

    def save_own_variables(self, store: Any) -> None:
        for i, state in enumerate(self.states()):
            store[str(i)] = keras.ops.convert_to_numpy(state)

    def load_own_variables(self, store: Any) -> None:
        states = self.states()
        if len(store.keys()) == len(states):
            for i, state in enumerate(states):
                state.assign(store[str(i)])


def seeds_of(model: keras.Model) -> list[keras.Variable]:
    """The variables of a model's random generators, which are none of its weights or metrics."""
    others = [*model.weights, *(v for metric in model.metrics for v in metric.variables)]
    known = {id(v) for v in others}
    return [v for v in model.non_trainable_variables if id(v) not in known]
