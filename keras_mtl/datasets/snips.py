"""SNIPS: what somebody asked of a voice assistant, as an intent and slots."""

import collections
import pathlib
from typing import Any

from keras_mtl.data import Examples, from_tokens, read_parallel
from keras_mtl.datasets._source import File, locate

_HOST = (
    "https://raw.githubusercontent.com/MiuLab/SlotGated-SLU/"
    "61f0307c729b1fad479ef1de94aa5ac5dee601b0/data/snips/"
)
_SHA256 = {
    "train/seq.in": "04ad1e3f2121d83c6478f9a4b17d2dbdc21d06d6127f73cb7af835ed733f9855",
    "train/seq.out": "fd5f2121d8055827e5d6b3d3bac30f3d7e94e82a5d437751960cbdd9e1b4f6d3",
    "train/label": "bfd7df6cf9dd76c5da5d8b61bc85f90386197bdd3d7510c1d324c051537b962f",
    "valid/seq.in": "64e0f6d8ad8aab3a3828164d7d53731a0993d3ca1aed437ceaca6d3d568d410e",
    "valid/seq.out": "712e6d34feb8d52d208b820a5f8bae6e6ff990f08374507dfde22de389088319",
    "valid/label": "9c1dd041216f647bcfca838aaf1a48eb5781e4404256d31ff07cd38a5436c52f",
    "test/seq.in": "c1e341173fcea2951a8ca371956a6f81c76de87b9583c62eb87edd6158fa3a7c",
    "test/seq.out": "58c07c9097d5e1f78889765c2a535a160f6455b90b3142055c8051847afcca47",
    "test/label": "37a26da3ad079bb41c42c85a3a8f827eb47efec4c5917ce5d08f4b2736e4f830",
}
_FILES = {name: File(_HOST + name, sha256) for name, sha256 in _SHA256.items()}


class SnipsExamples(Examples):
    """Utterances of SNIPS.

    Attributes:
        vocabulary: The words of the training utterances, the most frequent first.
        intents: The 7 intents, sorted.
        tags: The BIO tags of the training utterances, "O" first, then sorted.
    """

    vocabulary: list[str]
    intents: list[str]
    tags: list[str]


def snips(data_dir: Any = None) -> tuple[SnipsExamples, SnipsExamples, SnipsExamples]:
    """Utterances with an intent and a slot tag a word: 13,084 to train, 700 valid, 700 test.

    Coucke et al., "Snips Voice Platform", 2018, arXiv:1805.10190, CC0; the split of Goo et al.,
    "Slot-Gated Modeling for Joint Slot Filling and Intent Prediction", NAACL 2018.

    Args:
        data_dir: The folder that holds `train/`, `valid/` and `test/`, or the one above it; by
            default the environment variable `KERAS_MTL_DATA`, then a download.

    Returns:
        Training, validation and test rows: input `tokens`, `(n, T)` words; labels `intent`, `(n,)`,
        and `slots`, `(n, T)`. Intents and tags are those of the training rows; what only the others
        have counts as an error and is told in a warning.

    Raises:
        ValueError: If files are not there, or lines do not match; names file and line.
    """
    paths = locate("snips", _FILES, data_dir)
    read = {part: _read(paths, part) for part in ("train", "valid", "test")}
    words, tagged, named = read["train"]
    counts = collections.Counter(word for sentence in words for word in sentence)
    vocabulary = sorted(counts, key=lambda word: (-counts[word], word))
    intents = sorted(set(named))
    tags = ["O", *sorted({tag for sentence in tagged for tag in sentence} - {"O"})]
    parts = []
    for tokens, slots, labels in read.values():
        rows = from_tokens(tokens, {"slots": (slots, tags)}, {"intent": (labels, intents)})
        part = SnipsExamples(rows.inputs, rows.labels)
        part.classes = rows.classes
        part.vocabulary, part.intents, part.tags = vocabulary, intents, tags
        parts.append(part)
    return parts[0], parts[1], parts[2]


def _read(
    paths: dict[str, pathlib.Path], part: str
) -> tuple[list[list[str]], list[list[str]], list[str]]:
    return read_parallel(paths[f"{part}/seq.in"], paths[f"{part}/seq.out"], paths[f"{part}/label"])
