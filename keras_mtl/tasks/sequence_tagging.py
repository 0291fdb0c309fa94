"""A tag for every position of a sequence: entities, slots, parts of speech."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._labels import MISSING, decode_tags
from keras_mtl.tasks._chain import best_scores, chain_losses, first_transitions
from keras_mtl.tasks._classification import Classification, whole_ids
from keras_mtl.tasks._focal import class_values

_DECODERS = ("softmax", "crf")


@keras.saving.register_keras_serializable("keras_mtl")
class SequenceTagging(Classification):
    """One of C tags a position: labels `(B, T)` of tag ids, served as `(B, T, C)`.

    Positions labelled -1 are padding, or not annotated, and are left out everywhere. Reported are
    the span F1 of BIO tags as conlleval counts it (by seqeval), the share of tokens, and the share
    of sequences with every tag right.

    With `decoder="softmax"` positions are decided one by one and served as probabilities. With
    "crf" whole paths are scored (Lafferty et al., ICML 2001; Lample et al., NAACL 2016), the loss
    is their negative log-likelihood a tag, and what is served is the softmax of the best path's
    score through each tag: its largest entries are the Viterbi path. Labels must then be missing
    at a row's end alone.

    Args:
        name: The task's name.
        tags: The tags in the order of their ids, such as `["O", "B-city", "I-city"]`.
        decoder: "softmax" or "crf".
        **kwargs: `tower`, `label_smoothing`, `focal_gamma` and `class_weight`, as in `MultiClass`;
            of these "crf" knows the tower alone.

    Raises:
        ValueError: If there are fewer than two tags, or an argument is out of range.
    """

    main_metric = "f1"
    keeps_positions = True

    def __init__(self, name: str, tags: Any, *, decoder: str = "softmax", **kwargs: Any):
        super().__init__(name, tags, **kwargs)
        self.decoder = decoder
        crf_knows = not (self.label_smoothing or self.focal_gamma or self.class_weight)
        if decoder not in _DECODERS or (decoder == "crf" and not crf_knows):
            raise ValueError(
                f"`decoder` of task {name!r} is {decoder!r}; expected 'softmax', or 'crf' without "
                "label smoothing, focal loss and class weights."
            )

    @property
    def tags(self) -> list[str]:
        """The tags in the order of their ids."""
        return self.classes

    def score_layers(self, hidden: Any) -> Any:
        return keras.layers.Dense(len(self.tags), name=f"{self.name}_scores")(hidden)

    def trainable_state(self) -> dict[str, np.ndarray]:
        return {"transitions": first_transitions(self.tags)} if self.decoder == "crf" else {}

    def predictions(self, scores: Any, state: Mapping[str, Any], mask: Any = None) -> Any:
        if self.decoder == "crf":
            mask = ops.ones_like(scores[..., 0], "bool") if mask is None else mask
            scores = best_scores(scores, mask, ops.convert_to_tensor(state["transitions"]))
        return ops.softmax(scores, axis=-1)

    def loss_values(
        self, labels: Any, scores: Any, state: Mapping[str, Any], known: Any = None
    ) -> Any:
        if self.decoder == "crf":
            mask = ops.ones_like(labels, "bool") if known is None else known
            return chain_losses(scores, labels, mask, ops.convert_to_tensor(state["transitions"]))
        values = class_values(
            labels, scores, gamma=self.focal_gamma, label_smoothing=self.label_smoothing
        )
        return self.weighted(values, labels, state)

    def metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def check(self, labels: np.ndarray) -> None:
        if np.asarray(labels).ndim != 2:
            raise ValueError(
                f"Task {self.name!r}: labels have shape {np.shape(labels)}, expected "
                "(rows, positions), one tag id a position and -1 for padding."
            )
        super().check(labels)

    def score(self, y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
        from seqeval import metrics

        truth, decided = whole_ids(y_true), self.labels_from(y_pred)
        there = truth != MISSING
        rows = [i for i in range(len(truth)) if there[i].any()]
        spans_true = [decode_tags(truth[i][there[i]], self.tags) for i in rows]
        spans_pred = [decode_tags(decided[i][there[i]], self.tags) for i in rows]
        exact = [t == p for t, p in zip(spans_true, spans_pred, strict=True)]
        return {
            "f1": float(metrics.f1_score(spans_true, spans_pred, zero_division=0)),
            "precision": float(metrics.precision_score(spans_true, spans_pred, zero_division=0)),
            "recall": float(metrics.recall_score(spans_true, spans_pred, zero_division=0)),
            "accuracy": float(np.mean(truth[there] == decided[there])),
            "sequence_accuracy": float(np.mean(exact)),
        }

    def decode(self, ids: np.ndarray) -> list[str]:
        return decode_tags(ids, self.tags)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        tags = config.pop("classes")
        return {**config, "tags": tags, "decoder": self.decoder}
