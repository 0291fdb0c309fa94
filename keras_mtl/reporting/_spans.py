"""Spans of tags, counted as conlleval does (by seqeval): true, said, and both."""

import numpy as np

from keras_mtl._labels import decode_tags
from keras_mtl.reporting._judged import Judged


def span_counts(judged: Judged) -> dict[str, np.ndarray]:
    """By type of span, `(n, 3)`: how many of each row are right, said, and true."""
    from seqeval.metrics.sequence_labeling import get_entities

    found: dict[str, np.ndarray] = {}
    for row in range(len(judged.ids)):
        there = judged.there[row]
        true, said = (
            set(get_entities(decode_tags(ids[row][there], judged.classes)))
            for ids in (judged.ids, judged.decided)
        )
        for place, spans in enumerate((true & said, said, true)):
            for kind, *_ in spans:
                found.setdefault(kind, np.zeros((len(judged.ids), 3)))[row, place] += 1
    return dict(sorted(found.items()))
