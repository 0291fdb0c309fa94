"""A language model of KerasHub, with its own tokenizer in front."""

import base64
import importlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._names import nearest
from keras_mtl.encoders._application import applications
from keras_mtl.encoders._encoder import positive
from keras_mtl.encoders._network import Network
from keras_mtl.encoders._pieces import of_words, packed

_INPUTS = {"token_ids", "padding_mask", "segment_ids"}
# Where KerasHub's tokenizers keep what they know, under the names of their own arguments.
_KNOWLEDGE = ("vocabulary", "merges", "proto")
_LONGEST = 512


def keras_hub(source: str) -> Any:
    """The module that knows `source`; it is an extra.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        return importlib.import_module("keras_hub")
    except ImportError as error:
        raise ImportError(
            f"{_unlike_applications(source)}, and a preset of texts is read with KerasHub, which "
            f'cannot be imported ({error}); install it with: pip install "keras-mtl[text]".'
        ) from error


@keras.saving.register_keras_serializable("keras_mtl")
class Preset(Network):
    """Strings to features and a mask: `(B,)` texts to `(B, T, d)`, or `(B, W)` words to `(B, W, d)`.

    Args:
        source: The name or folder of the preset.
        backbone: Its `keras_hub.models.Backbone`, an encoder or a decoder of one sequence.
        tokenizer: Its `keras_hub.tokenizers.Tokenizer`.
        words: Whether rows come as words, "" as padding, and each word gets the features of its
            first piece.
        size: The largest number of pieces in a row; the network's own by default.
    """

    masked = True

    def __init__(
        self,
        source: str,
        backbone: Any,
        tokenizer: Any,
        words: bool = False,
        size: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(source, **kwargs)
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.words = words
        self.input_name = "tokens" if words else "text"
        self.size = _longest(backbone, size)
        self.supports_jit = False
        # A word of a text is told from one that begins it by the space before.
        hub = keras_hub(source)
        self.spaced = words and isinstance(tokenizer, hub.tokenizers.BytePairTokenizer)
        named = backbone.input if isinstance(backbone.input, dict) else {}
        if "token_ids" not in named or not _INPUTS.issuperset(named):
            raise ValueError(
                f"{source!r} is a {type(backbone).__name__}, whose inputs are {sorted(named)}; "
                f"encoders.Pretrained reads networks of one text, with inputs among {sorted(_INPUTS)}; "
                "for pictures give a name of keras.applications."
            )

    @classmethod
    def load(cls, source: str, weights: Any, words: bool, size: Any, dtype: Any) -> "Preset":
        """The preset of that name, or in that folder, with these weights."""
        hub = keras_hub(source)
        try:
            backbone = hub.models.Backbone.from_preset(
                source, load_weights=weights == "pretrained", dtype=dtype
            )
            tokenizer = hub.tokenizers.Tokenizer.from_preset(source)
        except (ValueError, FileNotFoundError) as error:
            raise ValueError(
                f"{_unlike_applications(source)}, and KerasHub cannot load it as a preset of texts; "
                "give a name of its list, a handle such as 'hf://user/name', or a folder that "
                f"`save_to_preset` wrote for a backbone and its tokenizer. It says: {error}"
            ) from error
        if weights not in (None, "pretrained"):
            backbone.load_weights(weights)
        return cls(source, backbone, tokenizer, words, size, dtype=dtype)

    def make_input(self, name: str) -> Any:
        return keras.Input((None,) if self.words else (), name=name, dtype="string")

    def build(self, input_shape: Any) -> None:
        self.built = True

    def preprocess(self, inputs: Any) -> dict[str, Any]:
        words = inputs if self.words else ops.expand_dims(inputs, -1)
        shape = ops.shape(words)
        ids, lengths = self._pieces(ops.reshape(words, (-1,)))
        given = words != ""
        row = packed(
            ops.reshape(ids, (*shape, ops.shape(ids)[-1])),
            ops.where(given, ops.reshape(lengths, shape), 0),
            start=self._special("start"),
            end=self._special("end"),
            pad=self.tokenizer.pad_token_id,
            longest=self.size,
        )
        prepared = {"token_ids": row.ids, "padding_mask": ops.cast(row.mask, "int32")}
        if self.words:
            prepared |= {"first_pieces": row.firsts, "word_mask": ops.cast(given, "int32")}
        return prepared

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        # Of one text, all pieces are of segment 0.
        tensors = {**inputs, "segment_ids": ops.zeros_like(inputs["token_ids"])}
        read = {name: tensors[name] for name in self.backbone.input}
        features = _sequence(self.backbone(read, training=training))
        if not self.words:
            return features, ops.not_equal(inputs["padding_mask"], 0)
        found = of_words(features, inputs["first_pieces"])
        return found, ops.not_equal(inputs["word_mask"], 0)

    def describe_preprocessing(self) -> dict[str, dict[str, Any]]:
        pad = self.tokenizer.pad_token_id
        ends = [self._special("start"), self._special("end")]
        of = "of each word, one after the other" if self.words else "of the text"
        if self.spaced:
            of += ", with a space before each"
        described: dict[str, dict[str, Any]] = {
            "token_ids": {
                "what": f"ids of the pieces {of}, between `start_and_end`, cut to `longest` places in "
                f"all; {pad} for padding",
                "ids_below": self.tokenizer.vocabulary_size(),
                "longest": self.size,
                "start_and_end": ends,
                "padding": pad,
                "tokenizer": _with_knowledge(self.tokenizer),
            },
            "padding_mask": {"what": "1 for each place of `token_ids`, 0 for padding"},
        }
        if self.words:
            described["first_pieces"] = {
                "what": "for each word where in `token_ids` its first piece stands, -1 where it has none"
            }
            described["word_mask"] = {"what": "1 for each word, 0 for padding"}
        return described

    def _special(self, which: str) -> int | None:
        """The id that a row starts or ends with, if the tokenizer knows one."""
        found: int | None = getattr(self.tokenizer, f"{which}_token_id", None)
        return found

    def _pieces(self, texts: Any) -> tuple[Any, Any]:
        """`(N,)` strings to `(N, P)` ids and `(N,)` numbers of them."""
        found = self.tokenizer(" " + texts if self.spaced else texts)
        if isinstance(found, list):
            # So KerasHub answers where no graph is traced.
            lengths = np.array([len(ids) for ids in found], "int32")
            ids = np.zeros((len(found), max(lengths, default=0)), "int32")
            for row, pieces in zip(ids, found, strict=True):
                row[: len(pieces)] = pieces
            return ops.convert_to_tensor(ids), ops.convert_to_tensor(lengths)
        return found.to_tensor(), found.row_lengths()

    def features_spec(self, inputs: Any) -> Any:
        shape = (inputs.shape[0], inputs.shape[1] if self.words else None)
        features = _sequence(self.backbone.output)
        return (
            keras.KerasTensor((*shape, features.shape[-1]), features.dtype),
            keras.KerasTensor(shape, "bool"),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "tokenizer": _with_knowledge(self.tokenizer),
            "words": self.words,
            "size": self.size,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Preset":
        # Its classes must be known before they are looked for.
        keras_hub(config["source"])
        tokenizer = dict(config["tokenizer"])
        known = dict(tokenizer["config"])
        if "proto" in known:
            known["proto"] = base64.b64decode(known["proto"])
        made = {
            "backbone": keras.saving.deserialize_keras_object(config["backbone"]),
            "tokenizer": keras.saving.deserialize_keras_object({**tokenizer, "config": known}),
        }
        return cls(**{**config, **made})


def _unlike_applications(source: str) -> str:
    near = nearest(source, applications())
    hint = f" (did you mean {near!r}?)" if near else ""
    return f"{source!r} is no name of keras.applications{hint}"


def _with_knowledge(tokenizer: Any) -> dict[str, Any]:
    """A tokenizer's config with its vocabulary, which KerasHub keeps in files of its own."""
    serialized = keras.saving.serialize_keras_object(tokenizer)
    config = dict(serialized["config"])
    for name in _KNOWLEDGE:
        held = getattr(tokenizer, name, None)
        if held is not None:
            config[name] = base64.b64encode(held).decode() if isinstance(held, bytes) else held
    return {**serialized, "config": config}


def _sequence(outputs: Any) -> Any:
    """The features of every piece, where a network gives those of the whole too."""
    return outputs["sequence_output"] if isinstance(outputs, dict) else outputs


def _longest(backbone: Any, size: Any) -> int:
    limit = getattr(backbone, "max_sequence_length", None)
    if size is None:
        return int(limit or _LONGEST)
    if isinstance(size, Iterable):
        raise ValueError(
            f"`size` of encoders.Pretrained is {size!r}; expected the largest number of word pieces "
            "for texts."
        )
    size = positive("Pretrained", "size", size)
    if size < 3 or (limit and size > limit):
        raise ValueError(
            f"`size` of encoders.Pretrained is {size}; expected at least 3 word pieces"
            + (f", and at most the {limit} that the network reads." if limit else ".")
        )
    return size
