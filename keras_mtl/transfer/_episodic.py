"""Training on episodes, one a step, for any way of scoring what is asked."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_mtl._by_name import inputs_in, texts_as_tensors
from keras_mtl.transfer.episodes import Episodes
from keras_mtl.transfer.features import features_model
from keras_mtl.transfer.few_shot import Score


class QueryScores(keras.layers.Layer):
    """The scores of what is asked in one episode: `(ways * (shots + queries), d)` to `(Q, ways)`.

    Args:
        ways: How many classes.
        shots: How many rows of each come first, class by class.
        score: The score function.
    """

    def __init__(self, ways: int, shots: int, score: Score, **kwargs: Any):
        super().__init__(dtype="float32", **kwargs)
        self.ways = ways
        self.shots = shots
        self.score = score

    def call(self, inputs: Any) -> Any:
        shown = self.ways * self.shots
        labels = np.repeat(np.arange(self.ways), self.shots)
        return self.score(inputs[:shown], labels, inputs[shown:], self.ways)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        return (None, self.ways)


def fit_episodes(
    model: Any,
    episodes: Episodes,
    score: Score,
    *,
    steps: int,
    optimizer: Any,
    epochs: int,
    verbose: Any,
) -> Any:
    """Trains what a model's tasks share on episodes, one a step; returns the Keras history."""
    features = features_model(model)
    scores = QueryScores(episodes.ways, episodes.shots, score, name="query_scores")
    learner = keras.Model(features.inputs, scores(features.output), name="episodic")
    learner.compile(
        optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    batches = _batches(episodes, features)
    return learner.fit(
        batches, steps_per_epoch=steps, epochs=epochs, verbose=verbose, shuffle=False
    )


def _batches(episodes: Episodes, features: keras.Model) -> Iterator[tuple[Any, np.ndarray]]:
    """What is shown and then what is asked, and the classes of the latter."""
    for episode in episodes:
        if isinstance(episode.support, Mapping):
            both: Any = {
                name: np.concatenate([rows, episode.query[name]])
                for name, rows in episode.support.items()
            }
        else:
            both = np.concatenate([episode.support, episode.query])
        given = inputs_in(features.input, texts_as_tensors(both))
        yield tuple(keras.tree.flatten(given)), episode.query_labels
