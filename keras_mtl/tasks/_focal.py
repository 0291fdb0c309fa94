"""Cross-entropy of single labels, plain, smoothed or focal."""

from typing import Any

from keras import ops


def binary_values(labels: Any, scores: Any, *, gamma: float, label_smoothing: float) -> Any:
    """Cross-entropy of each yes-or-no label, in the shape of the scores.

    With `gamma`, times (1 - p_t)^gamma, p_t the probability of the label: Lin et al., "Focal Loss
    for Dense Object Detection", ICCV 2017, arXiv:1708.02002.

    Args:
        labels: 0 or 1, the shape of `scores`.
        scores: Logits.
        gamma: 0 for the plain cross-entropy.
        label_smoothing: s, for labels y (1 - s) + s / 2; Szegedy et al., CVPR 2016.
    """
    smooth = labels * (1 - label_smoothing) + 0.5 * label_smoothing if label_smoothing else labels
    values = ops.binary_crossentropy(smooth, scores, from_logits=True)
    if gamma:
        p = ops.sigmoid(scores)
        values = values * ops.power(1 - (labels * p + (1 - labels) * (1 - p)), gamma)
    return values


def class_values(ids: Any, scores: Any, *, gamma: float, label_smoothing: float) -> Any:
    """Cross-entropy of each class label, in the shape of `ids`.

    Args:
        ids: `(...)`, class ids from 0 to C - 1.
        scores: `(..., C)` logits.
        gamma: As in `binary_values`.
        label_smoothing: s, for labels y (1 - s) + s / C.
    """
    ids = ops.cast(ids, "int32")
    values = ops.sparse_categorical_crossentropy(ids, scores, from_logits=True)
    if gamma:
        # p_t = exp(-cross entropy) as long as the labels are not smoothed.
        values = values * ops.power(1 - ops.exp(-values), gamma)
    if label_smoothing:
        uniform = -ops.mean(ops.log_softmax(scores, axis=-1), axis=-1)
        values = (1 - label_smoothing) * values + label_smoothing * uniform
    return values
