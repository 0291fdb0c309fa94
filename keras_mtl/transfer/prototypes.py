"""New classes from a few examples each: the nearest mean of features."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._by_name import inputs_in, texts_as_tensors
from keras_mtl.transfer._episodic import fit_episodes
from keras_mtl.transfer.episodes import Episodes
from keras_mtl.transfer.features import features_model


def prototypical_scores(
    support_features: Any, support_labels: Any, query_features: Any, ways: int
) -> Any:
    """How near each query is to the mean of each class: `-||q - c_k||^2`, `(Q, ways)`.

    Their softmax is the probability of prototypical networks; Snell, Swersky and Zemel,
    "Prototypical Networks for Few-shot Learning", NeurIPS 2017, arXiv:1703.05175.

    Args:
        support_features: `(S, d)`.
        support_labels: `(S,)`, from 0 to `ways - 1`, each at least once.
        query_features: `(Q, d)`.
        ways: How many classes.
    """
    return _nearness(query_features, _means(support_features, support_labels, ways))


def _means(features: Any, labels: Any, ways: int) -> Any:
    members = ops.one_hot(labels, ways, axis=0, dtype="float32")
    sums = ops.matmul(members, ops.cast(features, "float32"))
    return sums / ops.sum(members, axis=-1, keepdims=True)


def _nearness(queries: Any, means: Any) -> Any:
    apart = ops.expand_dims(ops.cast(queries, "float32"), 1) - ops.expand_dims(means, 0)
    return -ops.sum(ops.square(apart), axis=-1)


@keras.saving.register_keras_serializable("keras_mtl")
class PrototypicalHead(keras.layers.Layer):
    """The probability of each class by nearness to its prototype: `(B, d)` to `(B, C)`.

    Args:
        classes: The names of the C classes.
    """

    def __init__(self, classes: Sequence[Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.classes = [str(name) for name in classes]

    def build(self, input_shape: Any) -> None:
        self.prototypes = self.add_weight(
            shape=(len(self.classes), input_shape[-1]),
            initializer="zeros",
            dtype="float32",
            autocast=False,
            trainable=False,
            name="prototypes",
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        return ops.softmax(_nearness(inputs, self.prototypes), axis=-1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        return (input_shape[0], len(self.classes))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}


def prototype_model(
    model: Any, x: Any, labels: Any, *, classes: Sequence[Any] | None = None
) -> keras.Model:
    """A model that tells classes which the given one never saw, from a few examples of each.

    Nothing is trained: the mean of each class's features is its prototype, and the nearest one
    decides. It is a Keras model like any other, to predict with, to save and to export.

    Args:
        model: A `MultiTaskModel`; the features are those that all its tasks share.
        x: The examples, as `model.predict` takes them.
        labels: `(rows,)` whole numbers from 0, each class at least once; -1 is left out.
        classes: Their names; numbers by default.

    Returns:
        A model of the same inputs, to `(B, C)` probabilities; its last layer, "prototypes", is a
        `PrototypicalHead`.

    Raises:
        ValueError: If a class has no example, or names are of another number.
    """
    labels = np.asarray(labels)
    there = labels >= 0
    counts = (
        np.bincount(labels[there]) if labels.dtype.kind in "iu" and there.any() else np.zeros(0)
    )
    names = list(range(len(counts))) if classes is None else list(classes)
    if not len(counts) or not counts.all() or len(names) != len(counts):
        raise ValueError(
            f"`labels` of prototype_model have {counts.astype(int).tolist()} examples of the classes "
            f"from 0 on, and the names are {names}; expected whole numbers, at least one example of every "
            "class, and a name for each."
        )
    trunk = features_model(model)
    found = trunk.predict(inputs_in(trunk.input, texts_as_tensors(x)), verbose=0)
    head = PrototypicalHead(names, name="prototypes")
    served = keras.Model(trunk.input, head(trunk.output), name=f"{model.name}_prototypes")
    head.prototypes.assign(_means(found[there], labels[there], len(counts)))
    return served


def fit_prototypes(
    model: Any,
    episodes: Episodes,
    *,
    steps: int = 100,
    epochs: int = 10,
    optimizer: Any = "adam",
    verbose: Any = "auto",
) -> Any:
    """Trains what a model's tasks share so that prototypes tell classes apart (Snell et al., 2017).

    An episode is a step; the loss is the cross-entropy of `prototypical_scores`. The heads of the
    model's tasks are left as they are.

    Args:
        model: A `MultiTaskModel`, trained or not.
        episodes: Over the inputs of the model. More ways than are asked for later often help.
        steps: Episodes an epoch.
        epochs: How many epochs.
        optimizer: As in Keras.
        verbose: As in `keras.Model.fit`.

    Returns:
        The Keras history, with `loss` and `accuracy` of what was asked.
    """
    return fit_episodes(
        model,
        episodes,
        prototypical_scores,
        steps=steps,
        epochs=epochs,
        optimizer=optimizer,
        verbose=verbose,
    )
