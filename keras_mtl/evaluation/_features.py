"""What a row consists of, for people: columns, regions of a picture, kinds of words."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_mtl._names import nearest


class Features(NamedTuple):
    """The features that inputs consist of.

    Attributes:
        names: The features.
        codes: By input, which feature each element belongs to: broadcasts to the input's shape;
            -1 for padding.
    """

    names: list[str]
    codes: dict[str, np.ndarray]


def features_of(
    inputs: Mapping[str, np.ndarray],
    words: Mapping[str, np.ndarray],
    grid: int,
    groups: Mapping[str, Sequence[str]],
) -> Features:
    """Names what inputs consist of.

    A column `(n,)` is one feature; of vectors `(n, d)` each of the d numbers; of sequences
    `(n, T, d)` each of the d numbers at all times; of pictures `(n, h, w, c)` each of `grid` x `grid`
    regions; of words each kind of word.

    Args:
        inputs: Rows by input name.
        words: The words of inputs that consist of words, "" as padding.
        grid: Regions along each side of a picture.
        groups: Features, or inputs as a whole, that count as one, by its name.

    Raises:
        ValueError: If a group names what is not there, twice, or has the name of another feature.
    """
    names: list[str] = []
    codes: dict[str, np.ndarray] = {}
    of_input: dict[str, list[str]] = {}
    for name, values in inputs.items():
        mine, code = (
            _of_words(name, words[name]) if name in words else _of_numbers(name, values, grid)
        )
        codes[name] = np.where(code < 0, -1, code + len(names))
        names += mine
        of_input[name] = mine
    return _grouped(Features(names, codes), of_input, groups)


def sums_by_feature(features: Features, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """The sum over all rows of what each feature's elements have, `(F,)`."""
    total = np.zeros(len(features.names))
    for name, of_input in values.items():
        codes = np.broadcast_to(features.codes[name], of_input.shape).ravel()
        there = codes >= 0
        total += np.bincount(codes[there], of_input.ravel()[there], minlength=len(total))
    return total


def _of_words(name: str, words: np.ndarray) -> tuple[list[str], np.ndarray]:
    known, codes = np.unique(words.astype(str), return_inverse=True)
    codes = codes.reshape(words.shape)
    if len(known) and known[0] == "":
        known, codes = known[1:], codes - 1
    return [f"{name}: {word}" for word in known], codes


def _of_numbers(name: str, values: np.ndarray, grid: int) -> tuple[list[str], np.ndarray]:
    if values.ndim in (2, 3):
        width = values.shape[-1]
        place = f"{name}[%d]" if values.ndim == 2 else f"{name}[:, %d]"
        shape = (1,) * (values.ndim - 1)
        return [place % i for i in range(width)], np.arange(width).reshape(*shape, width)
    if values.ndim != 4:
        return [name], np.zeros((1,) * values.ndim, int)
    rows, columns = (_bounds(side, grid) for side in values.shape[1:3])
    mine = [
        f"{name}[{top}:{bottom}, {left}:{right}]" for top, bottom in rows for left, right in columns
    ]
    down, across = (
        np.repeat(np.arange(len(b)), [end - start for start, end in b]) for b in (rows, columns)
    )
    return mine, (down[:, None] * len(columns) + across[None, :])[None, :, :, None]


def _bounds(side: int, grid: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, side, min(grid, side) + 1).round().astype(int).tolist()
    return list(itertools.pairwise(edges))


def _grouped(
    features: Features, of_input: Mapping[str, list[str]], groups: Mapping[str, Sequence[str]]
) -> Features:
    names = list(features.names)
    into = dict(zip(names, names, strict=True))
    for group, members in groups.items():
        inside = [f for m in members for f in of_input.get(m, [m])]
        for member in inside:
            if into.get(member) != member or inside.count(member) > 1:
                near = nearest(member, [*of_input, *names])
                raise ValueError(
                    f"`groups` puts {member!r} into {group!r}, but it "
                    + ("is in a group already" if member in into else "is no feature")
                    + (f"; did you mean {near!r}?" if near and member not in into else ".")
                )
        if not inside or (group in into and group not in inside):
            raise ValueError(
                f"The group {group!r} of `groups` has the features {inside} and may not be named as "
                "another feature; expected at least one and a name of its own."
            )
        into |= dict.fromkeys(inside, group)
    kept = list(dict.fromkeys(into[name] for name in names))
    table = np.array([kept.index(into[name]) for name in names] + [-1])
    return Features(kept, {name: table[codes] for name, codes in features.codes.items()})
