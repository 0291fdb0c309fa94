"""Learning rates that fall from the top of the trunk to its bottom."""

from typing import Any

import keras

from keras_mtl._functional import is_functional
from keras_mtl._layers_by_name import Place, places

_NORMALISATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
)


def layer_wise_rates(model: Any, decay: float = 2.6) -> dict[str, float]:
    """Discriminative fine-tuning: each shared layer learns more slowly than the one above it.

    The l-th layer from the top takes `decay ** -l` of every step, the heads all of it. What was learnt
    near the input is most general and needs least to change.

    Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018,
    arXiv:1801.06146, who divide by 2.6.

    Encoders and nested functional models are taken layer by layer, in the order in which they hold
    them; other layers, such as a block of attention, as one. A normalisation goes with the layer
    before it.

    Args:
        model: A `MultiTaskModel`.
        decay: What the rate is divided by from one layer to the next below, at least 1.

    Returns:
        `{path: multiplier}` for `compile(learning_rate_multipliers=...)`; add others to it.

    Raises:
        ValueError: If the decay is less than 1, or the model has no shared layer with weights.

    Example:

    >>> from keras_mtl import build_model, encoders, tasks
    >>> model = build_model(encoders.Dense(4, units=[8, 8]), [tasks.Binary("a"), tasks.Binary("b")])
    >>> layer_wise_rates(model, decay=2)
    {'dense_encoder/dense_0': 0.25, 'dense_encoder/dense_1': 0.5}
    """
    if not 1 <= decay < float("inf"):
        raise ValueError(f"`decay` of layer_wise_rates is {decay!r}; expected 1 or more.")
    shared = {id(layer) for layer in model.layers_of("shared")}
    every = places(model)
    steps: list[list[Place]] = []
    for place in every:
        if id((*place.above, place.layer)[0]) not in shared or not place.layer.weights:
            continue
        if _is_opened(place.layer) or not all(_is_opened(x) for x in place.above):
            continue
        if isinstance(place.layer, _NORMALISATIONS) and steps:
            steps[-1].append(place)
        else:
            steps.append([place])
    if not steps:
        raise ValueError(
            f"layer_wise_rates found no layer with weights below the heads of {model.task_names}; "
            "give `learning_rate_multipliers` by name."
        )
    return {
        place.path: float(decay) ** (i - len(steps))
        for i, step in enumerate(steps)
        for place in step
    }


def _is_opened(layer: Any) -> bool:
    """Whether it does nothing but call its layers."""
    return is_functional(layer) or getattr(layer, "calls_layers_plainly", False)
