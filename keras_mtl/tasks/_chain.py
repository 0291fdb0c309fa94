"""Linear-chain conditional random field: scores of tags, and of one tag after another.

Lafferty, McCallum and Pereira, "Conditional Random Fields", ICML 2001; as the last layer of a
tagger, Lample et al., "Neural Architectures for Named Entity Recognition", NAACL 2016.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops


def first_transitions(tags: Sequence[str]) -> np.ndarray:
    """Where the scores of one tag after another start, `(C, C)`: -4 for what BIO rules out, else 0.

    >>> first_transitions(["O", "B-x", "I-x"])[0]
    array([ 0.,  0., -4.], dtype=float32)
    """
    scores = np.zeros((len(tags), len(tags)), "float32")
    for j, tag in enumerate(tags):
        if tag.startswith("I-"):
            span = tag[2:]
            for i, before in enumerate(tags):
                if before not in (f"B-{span}", f"I-{span}"):
                    scores[i, j] = -4.0
    return scores


def chain_losses(scores: Any, ids: Any, mask: Any, transitions: Any) -> Any:
    """The negative log-likelihood of each row's tags, spread evenly over its tags.

    Args:
        scores: `(B, T, C)` logits.
        ids: `(B, T)` tag ids; any value where the mask is false.
        mask: `(B, T)` booleans, true for the first positions of each row.
        transitions: `(C, C)`, the score of tag j after tag i.

    Returns:
        `(B, T)`; the mean over true positions is the mean loss a tag. Where the mask is false, 0.
    """
    counted = ops.cast(mask, scores.dtype)
    ids = ops.where(mask, ops.cast(ids, "int32"), 0)
    emitted = ops.squeeze(ops.take_along_axis(scores, ids[..., None], axis=-1), -1)
    flat = ops.reshape(transitions, (-1,))
    followed = ops.take(flat, ids[:, :-1] * transitions.shape[0] + ids[:, 1:])
    path = ops.sum(emitted * counted, axis=1) + ops.sum(followed * counted[:, 1:], axis=1)
    nll = _log_partition(scores, mask, transitions) - path
    tags = ops.sum(counted, axis=1)
    return ops.divide_no_nan(nll, tags)[:, None] * counted


def best_scores(scores: Any, mask: Any, transitions: Any) -> Any:
    """The score of the best whole path through each tag of each position, `(B, T, C)`.

    Its largest entry at each position is the best path's tag (Viterbi, 1967), forward and backward
    at once.
    """

    def ahead(carry: Any, seen: Any) -> Any:
        best = ops.max(carry[:, :, None] + transitions, axis=1) + seen[:, :-1]
        moved = ops.where(seen[:, -1:] > 0, best, carry)
        return moved, moved

    def back(carry: Any, seen: Any) -> Any:
        best = ops.max((carry + seen[:, :-1])[:, None, :] + transitions, axis=2)
        moved = ops.where(seen[:, -1:] > 0, best, carry)
        return moved, moved

    steps = _by_time(scores, mask)
    first, last = steps[0, :, :-1], ops.zeros_like(steps[0, :, :-1])
    _, forward = ops.scan(ahead, first, steps[1:])
    _, backward = ops.scan(back, last, steps[1:], reverse=True)
    both = ops.concatenate([first[None], forward], 0) + ops.concatenate([backward, last[None]], 0)
    return ops.transpose(both, (1, 0, 2))


def _by_time(scores: Any, mask: Any) -> Any:
    """Scores and mask side by side, `(T, B, C + 1)`: of unknown length, `ops.scan` takes one."""
    both = ops.concatenate([scores, ops.cast(mask, scores.dtype)[..., None]], axis=-1)
    return ops.transpose(both, (1, 0, 2))


def _log_partition(scores: Any, mask: Any, transitions: Any) -> Any:
    # Sums in the exponent domain are one matrix product a position; the shift keeps them in range.
    high = ops.max(transitions)
    factors = ops.exp(transitions - high)

    def step(carry: Any, seen: Any) -> Any:
        top = ops.max(carry, axis=-1, keepdims=True)
        summed = ops.matmul(ops.exp(carry - top), factors)
        arrived = ops.log(summed + 1e-30) + top + high + seen[:, :-1]
        moved = ops.where(seen[:, -1:] > 0, arrived, carry)
        return moved, moved

    steps = _by_time(scores, mask)
    last, _ = ops.scan(step, steps[0, :, :-1], steps[1:])
    return ops.logsumexp(last, axis=-1)
