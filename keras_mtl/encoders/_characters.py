"""Features of a word's spelling, which also an unknown word has."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

_LONGEST = 20
_WIDTHS = (2, 3, 4)


class Characters(keras.layers.Layer):
    """Convolutions over the characters of each word: `(B, T, 20)` ids to `(B, T, width)`.

    Kim, Jernite, Sontag and Rush, "Character-Aware Neural Language Models", AAAI 2016.

    Args:
        vocabulary: Words, whose characters are the known ones.
        width: Number of features, about; a third of it for each window of 2, 3 and 4 characters.
        embedding: Length of a character's embedding.
    """

    def __init__(self, vocabulary: Sequence[str], width: int, embedding: int = 32, **kwargs: Any):
        super().__init__(**kwargs)
        known = sorted({character for word in vocabulary for character in word})
        self.split = keras.layers.TextVectorization(
            standardize=None,
            split="character",
            vocabulary=known,
            output_sequence_length=_LONGEST,
            name="split",
        )
        self.embed = keras.layers.Embedding(
            self.split.vocabulary_size(), embedding, name="embedding"
        )
        filters = max(1, width // len(_WIDTHS))
        self.width = filters * len(_WIDTHS)
        self.windows = [
            keras.layers.Conv1D(filters, w, padding="same", name=f"window_{w}") for w in _WIDTHS
        ]

    def build(self, input_shape: Any) -> None:
        self.embed.build((None, _LONGEST))
        for window in self.windows:
            window.build((None, _LONGEST, self.embed.output_dim))
        self.built = True

    def ids(self, words: Any) -> Any:
        """The ids of the first 20 characters of each word: `(B, T)` strings to `(B, T, 20)`."""
        shape = ops.shape(words)
        ids = ops.cast(self.split(ops.reshape(words, (-1,))), "int32")
        return ops.reshape(ids, (shape[0], shape[1], _LONGEST))

    def describe_ids(self) -> dict[str, Any]:
        """How `ids` are made, as `PreprocessingEncoder.describe_preprocessing` tells it."""
        known = self.split.get_vocabulary()
        return {
            "what": f"for each word the places in `vocabulary` of its first {_LONGEST} characters, 1 "
            "for any other, then 0",
            "ids_below": len(known),
            "length": _LONGEST,
            "vocabulary": known,
        }

    def call(self, inputs: Any) -> Any:
        shape = ops.shape(inputs)
        embedded = self.embed(ops.reshape(inputs, (-1, _LONGEST)))
        found = [ops.max(ops.relu(window(embedded)), axis=1) for window in self.windows]
        return ops.reshape(ops.concatenate(found, axis=-1), (shape[0], shape[1], self.width))
