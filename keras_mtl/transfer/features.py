"""What a trained model makes of its inputs, one vector a row."""

from typing import Any

import keras


def features_model(model: Any) -> keras.Model:
    """The trunk of a model by itself: its inputs to the features that all tasks share, `(B, d)`.

    Maps `(B, h, w, d)` are averaged over space, and sequences `(B, T, d)` over what is no padding. The
    weights are the model's own: who trains the one trains the other.

    Args:
        model: A `MultiTaskModel`.

    Raises:
        ValueError: If the tasks have no features in common, or they are of another rank.

    Example:

    >>> from keras_mtl import build_model, encoders, tasks
    >>> model = build_model(encoders.Dense(4, units=[8]), [tasks.Binary("a"), tasks.Binary("b")])
    >>> features_model(model).output.shape
    (None, 8)
    """
    features = model._graph.common_features()
    rank = len(features.shape)
    if rank == 3:
        features = keras.layers.GlobalAveragePooling1D(name="pooled")(features)
    elif rank == 4:
        features = keras.layers.GlobalAveragePooling2D(name="pooled")(features)
    elif rank != 2:
        raise ValueError(
            f"The tasks of {model.name!r} share features of shape {tuple(features.shape)}; expected "
            "(batch, d), (batch, time, d) or (batch, height, width, d)."
        )
    return keras.Model(model.input, features, name=f"{model.name}_features")
