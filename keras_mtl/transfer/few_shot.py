"""How good features are for classes of which few examples are known.

A score function is `score(support_features (S, d), support_labels (S,), query_features (Q, d), ways)
-> (Q, ways)`, in `keras.ops`, larger for what is likelier.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_mtl.transfer.episodes import Episodes

Score = Callable[[Any, Any, Any, int], Any]


class FewShotAccuracy(NamedTuple):
    """How often the right class was named, over episodes.

    Attributes:
        mean: The mean over episodes.
        margin: Half the width of its 95 % interval, 1.96 standard errors.
        episodes: How many there were.
    """

    mean: float
    margin: float
    episodes: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} +- {self.margin:.3f} ({self.episodes} episodes)"


def few_shot_accuracy(episodes: Episodes, score: Score, count: int = 200) -> FewShotAccuracy:
    """Judges features by episodes whose rows are features, `(rows, d)`.

    Args:
        episodes: Over features, such as `features_model(model).predict(x)`; or over raw columns.
        score: `prototypical_scores`, or another score function.
        count: How many episodes.

    Returns:
        The mean accuracy and its 95 % interval.
    """
    right = []
    for episode in itertools.islice(episodes, count):
        support, query = (
            np.asarray(x, "float32").reshape(len(x), -1) for x in (episode.support, episode.query)
        )
        scores = score(support, episode.support_labels, query, episodes.ways)
        decided = np.argmax(ops.convert_to_numpy(scores), axis=-1)
        right.append(np.mean(decided == episode.query_labels))
    margin = 1.96 * np.std(right, ddof=1) / np.sqrt(count) if count > 1 else np.inf
    return FewShotAccuracy(float(np.mean(right)), float(margin), count)
