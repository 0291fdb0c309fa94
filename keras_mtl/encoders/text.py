"""Words in, features out: tokens or raw text, looked up inside the model."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.encoders import _context
from keras_mtl.encoders._characters import Characters
from keras_mtl.encoders._encoder import PreprocessingEncoder, positive, rate
from keras_mtl.encoders._padding import WithMask

# What a `TextVectorization` does to a text before it looks words up.
_SPLITTING = ("standardize", "split", "ngrams", "output_sequence_length")


@keras.saving.register_keras_serializable("keras_mtl")
class Text(PreprocessingEncoder):
    """Embeds words and reads them in context: `(B, T)` strings to features `(B, T, d)` and a mask.

    With a list as `vocabulary` the input is `tokens`, one string a word and "" as padding, so that
    tags stay aligned with words. With an adapted `keras.layers.TextVectorization` it is `text`,
    one raw string a row.

    Args:
        vocabulary: The known words, or an adapted `TextVectorization`; other words share one
            embedding.
        kind: How words are read in context: "bilstm", "cnn" or "transformer".
        units: Width d of the features.
        embedding: Length of a word's embedding.
        characters: Above 0, that many features are read from each word's spelling by convolutions
            over its characters (Kim et al., AAAI 2016); tokens only.
        dropout: Rate on embeddings and on features; the same rate of words is taken for unknown
            while training, so that unknown words are met with, half of it at most 0.1.

    Raises:
        ValueError: If the kind is unknown, the vocabulary empty, or a number out of range.
    """

    def __init__(
        self,
        vocabulary: Any,
        kind: str = "bilstm",
        units: int = 256,
        embedding: int = 128,
        characters: int = 0,
        dropout: float = 0.3,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.kind = kind
        self.units = positive("Text", "units", units)
        self.embedding = positive("Text", "embedding", embedding)
        self.characters = 0 if characters == 0 else positive("Text", "characters", characters)
        self.dropout = rate("Text", "dropout", dropout)
        self.raw = isinstance(vocabulary, keras.layers.TextVectorization)
        if self.raw and self.characters:
            raise ValueError(
                "`characters` of encoders.Text needs words one by one, but the vocabulary is a "
                "TextVectorization, which reads whole texts; give the list of words instead."
            )
        self.lookup = vocabulary if self.raw else _word_lookup(vocabulary)
        self.words = keras.layers.Embedding(
            self.lookup.vocabulary_size(), self.embedding, name="words"
        )
        self.spelling = (
            Characters(vocabulary, self.characters, name="characters") if self.characters else None
        )
        self.word_dropout = min(0.1, self.dropout / 2)
        self.seeds = keras.random.SeedGenerator()
        self.drop = keras.layers.Dropout(self.dropout, name="dropout")
        self.context = _context.make(kind, self.units, self.dropout)

    @property
    def input_name(self) -> str:
        """The key of the input in the data: "text" if it is raw, "tokens" if it is words."""
        return "text" if self.raw else "tokens"

    def make_inputs(self) -> dict[str, Any]:
        shape = () if self.raw else (None,)
        return {self.input_name: keras.Input(shape, name=self.input_name, dtype="string")}

    def features_of(self, inputs: dict[str, Any]) -> Any:
        return WithMask(name=f"{self.name}_features")(self(inputs[self.input_name]))

    def build(self, input_shape: Any) -> None:
        self.words.build((None, None))
        width = self.embedding
        if self.spelling is not None:
            self.spelling.build((None, None, None))
            width += self.spelling.width
        self.context.build((None, None, width))
        self.built = True

    def preprocess(self, inputs: Any) -> dict[str, Any]:
        prepared = {self.input_name: ops.cast(self.lookup(inputs), "int32")}
        if self.spelling is not None:
            prepared["characters"] = self.spelling.ids(inputs)
        return prepared

    def encode(self, prepared: dict[str, Any], training: bool | None = None) -> Any:
        ids = prepared[self.input_name]
        mask = ops.not_equal(ids, 0)
        if training and self.word_dropout:
            drawn = keras.random.uniform(ops.shape(ids), seed=self.seeds)
            unknown = ops.logical_and(drawn < self.word_dropout, mask)
            ids = ops.where(unknown, ops.ones_like(ids), ids)
        features = self.words(ids)
        if self.spelling is not None:
            features = ops.concatenate([features, self.spelling(prepared["characters"])], axis=-1)
        features = self.drop(features, training=training)
        features = self.context(features, mask=mask, training=training)
        return self.drop(features, training=training), mask

    def describe_preprocessing(self) -> dict[str, dict[str, Any]]:
        known = self.lookup.get_vocabulary()
        of = "each word's place in `vocabulary`, 1 for any other word, 0 for padding"
        told: dict[str, Any] = {"what": of, "ids_below": len(known), "vocabulary": known}
        if self.raw:
            config = keras.saving.serialize_keras_object(self.lookup)["config"]
            told["what"] = f"the text in words, as `text_vectorization` tells it, and {of}"
            told["text_vectorization"] = {key: config[key] for key in _SPLITTING}
        described = {self.input_name: told}
        if self.spelling is not None:
            described["characters"] = self.spelling.describe_ids()
        return described

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        shape = (inputs.shape[0], None if self.raw else inputs.shape[1])
        features = keras.KerasTensor((*shape, self.units), self.compute_dtype)
        return features, keras.KerasTensor(shape, "bool")

    def get_config(self) -> dict[str, Any]:
        raw = keras.saving.serialize_keras_object(self.lookup) if self.raw else None
        return {
            **super().get_config(),
            "vectorization": raw,
            "vocabulary": self.lookup.get_vocabulary(include_special_tokens=False),
            "kind": self.kind,
            "units": self.units,
            "embedding": self.embedding,
            "characters": self.characters,
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Text":
        config = dict(config)
        raw = config.pop("vectorization")
        if raw is not None:
            # Its words come from our own config: the width of the embedding depends on them.
            layer = keras.saving.deserialize_keras_object(raw)
            layer.set_vocabulary(config["vocabulary"])
            config["vocabulary"] = layer
        return cls(**config)


def _word_lookup(vocabulary: Sequence[str]) -> Any:
    words = [str(word) for word in vocabulary]
    if not words or "" in words or len(set(words)) < len(words):
        raise ValueError(
            f"`vocabulary` of encoders.Text came with {len(words)} words, {len(set(words))} of them "
            "different"
            + (", one of them empty" if "" in words else "")
            + "; expected at least one, each only once, none empty."
        )
    return keras.layers.StringLookup(vocabulary=words, mask_token="", name="lookup")
