"""Files of tokens: a token and its tags a line, or sentences, tags and labels on matching lines."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_mtl._labels import encode_classes, encode_tags
from keras_mtl.data._opened import opened
from keras_mtl.data.examples import Examples


def read_conll(path: Any, *, columns: int = 2, separator: str = "\t") -> list[list[list[str]]]:
    """Reads one token a line with its tags, sentences parted by blank lines.

    Args:
        path: The file, gzipped or not.
        columns: Fields a line: the token and its tags.
        separator: Between fields; None for any white space.

    Returns:
        For each column, for each sentence, its fields: `columns` lists of lists.

    Raises:
        ValueError: If a line has another number of fields; names file and line.
    """
    sentences: list[list[list[str]]] = [[] for _ in range(columns)]
    current: list[list[str]] = [[] for _ in range(columns)]
    for number, line in enumerate([*_lines(path), ""], start=1):
        if not line.strip():
            if current[0]:
                for sentence_column, words in zip(sentences, current, strict=True):
                    sentence_column.append(words)
            current = [[] for _ in range(columns)]
            continue
        fields = [field.strip() for field in line.rstrip("\n").split(separator)]
        if len(fields) != columns or not fields[0]:
            raise ValueError(
                f"{path}:{number} has {len(fields)} fields ({line.strip()[:40]!r}), expected "
                f"{columns}: a token and its tags, or a blank line between sentences."
            )
        for column, field in zip(current, fields, strict=True):
            column.append(field)
    if not sentences[0]:
        raise ValueError(f"{path} holds no sentence.")
    return sentences


def read_parallel(
    tokens: Any, tags: Any, labels: Any = None
) -> tuple[list[list[str]], list[list[str]], list[str]]:
    """Reads sentences, their tags and their labels from matching lines of two or three files.

    Returns:
        Tokens and tags a sentence, and labels (empty without a file of them).

    Raises:
        ValueError: If the files have different numbers of lines, or a sentence another number of
            tags than tokens; names file and line.
    """
    words = [line.split() for line in _lines(tokens)]
    marks = [line.split() for line in _lines(tags)]
    names = [line.strip() for line in _lines(labels)] if labels is not None else []
    for path, found in ((tags, marks), (labels, names)):
        if path is not None and len(found) != len(words):
            raise ValueError(
                f"{path} has {len(found)} lines, but {tokens} has {len(words)}; expected one line a "
                "sentence in each."
            )
    for number, (sentence, tagged) in enumerate(zip(words, marks, strict=True), start=1):
        if len(sentence) != len(tagged) or not sentence:
            raise ValueError(
                f"{tags}:{number} has {len(tagged)} tags, but {tokens}:{number} has "
                f"{len(sentence)} tokens; expected one tag a token and at least one token."
            )
    return words, marks, names


def from_tokens(
    tokens: Sequence[Sequence[str]],
    tags: Mapping[str, tuple[Sequence[Sequence[str]], Sequence[str]]],
    labels: Mapping[str, tuple[Sequence[str], Sequence[str]]] | None = None,
) -> Examples:
    """Rows with the input "tokens" from sentences, tags and labels.

    Args:
        tokens: The words of each sentence.
        tags: By tagging task, the tags of each sentence, and all tags in the order of their ids.
        labels: By classification task, the label of each sentence, and all classes in the order of
            their ids.

    Example:

    >>> rows = from_tokens([["to", "rome"]], {"slots": ([["O", "B-city"]], ["O", "B-city"])})
    >>> rows.labels["slots"][0]
    array([0, 1], dtype=int32)
    """
    from keras_mtl.data._columns import Sequences

    encoded: dict[str, Any] = {}
    known: dict[str, list[str]] = {}
    for task, (marks, every) in tags.items():
        encoded[task] = Sequences.of(encode_tags(marks, every, task=task))
        known[task] = list(every)
    for task, (names, every) in (labels or {}).items():
        encoded[task] = encode_classes(names, every, task=task)
        known[task] = list(every)
    rows = Examples({"tokens": Sequences.of([list(s) for s in tokens])}, encoded)
    rows.classes = known
    return rows


def _lines(path: Any) -> list[str]:
    with opened(path, "text") as file:
        # Not splitlines(): a token may hold a character that it takes for the end of a line.
        return file.read().removesuffix("\n").split("\n")
