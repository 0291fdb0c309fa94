"""Layers that are trained no longer, and again."""

from collections.abc import Iterable
from typing import Any

from keras_mtl import _freezing
from keras_mtl._freezing import weights_in
from keras_mtl._layers_by_name import select


def freeze(model: Any, what: str | Iterable[str]) -> list[str]:
    """Keeps layers as they are while the rest is trained; batch normalisation keeps its statistics.

    The layers are frozen in every model that has them. What `compile` made stays: freeze before the
    first `fit`, so that the optimizer keeps nothing for them.

    Args:
        model: A `MultiTaskModel`.
        what: "shared", a task for its own layers, a layer's name, the end of its path, or a pattern
            such as "block_1*"; or several.

    Returns:
        The paths of the layers, each with all that is inside of it.

    Raises:
        ValueError: If a name stands for no layer with weights.

    Example:

    >>> from keras_mtl import build_model, encoders, tasks
    >>> model = build_model(encoders.Dense(4, units=[8, 8]), [tasks.Binary("a"), tasks.Binary("b")])
    >>> freeze(model, "dense_0")
    ['dense_encoder/dense_0']
    >>> len(model.shared_variables())
    2
    >>> freeze(model, ["shared", "a"])
    ['dense_encoder', 'a_scores']
    >>> [variable.path for variable in model.trainable_variables]
    ['b_scores/kernel', 'b_scores/bias']
    """
    chosen = select(model, what, "what")
    _freezing.freeze(model, chosen)
    return [place.path for place in chosen if weights_in([place])]


def unfreeze(model: Any, what: str | Iterable[str]) -> list[str]:
    """Trains layers again, and no other layers that are frozen.

    A kernel to which `enable_lora` gave an update stays frozen below it, its bias does not. An optimizer
    that was built without these layers refuses them: compile again, or use `Unfreeze`.

    Args:
        model: A `MultiTaskModel`.
        what: As in `freeze`.

    Returns:
        The paths of the layers, each with all that is inside of it.

    Raises:
        ValueError: If a name stands for no layer with weights.
    """
    chosen = select(model, what, "what")
    _freezing.thaw(model, chosen)
    return [place.path for place in chosen if weights_in([place])]
