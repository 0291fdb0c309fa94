"""Small trainable updates of layers that stay as they are."""

from collections.abc import Iterable
from typing import Any

from keras_mtl._freezing import freeze, thaw, trace_anew
from keras_mtl._layers_by_name import Place, places, select
from keras_mtl._lora import ADAPTABLE, base_of, is_adapted, merge


def enable_lora(
    model: Any,
    rank: int = 4,
    layers: str | Iterable[str] = "shared",
    alpha: float | None = None,
) -> list[str]:
    """Trains a low-rank update of kernels in place of the kernels: few weights for a new task.

    A kernel W `(in, out)` becomes W + alpha / rank A B with A `(in, rank)` at random and B
    `(rank, out)` zero, so that at first nothing changes. Dense, EinsumDense (attention's, too),
    Embedding and convolutions inside of what is named get one, by Keras's own `enable_lora`;
    everything else in it is frozen, biases too.

    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, arXiv:2106.09685.

    Call it before `compile`, which makes an optimizer for the new weights; a model that was compiled
    must be compiled again. Saving and loading keep W, A and B as they are; `merge_lora` adds them up.
    The layers change in every model that has them: compile such a model again, too.

    Args:
        model: A `MultiTaskModel`.
        rank: Width of the bottleneck.
        layers: Where, as in `freeze`.
        alpha: How much of the update is added, over the rank; the rank itself by default.

    Returns:
        The paths of the layers with an update.

    Raises:
        ValueError: If the rank is not positive, a name stands for nothing, none of the layers can have
            an update, or one has it.

    Example:

    >>> from keras_mtl import build_model, encoders, tasks
    >>> model = build_model(encoders.Dense(6, units=[8]), [tasks.Binary("a"), tasks.Binary("b")])
    >>> enable_lora(model, rank=2)
    ['dense_encoder/dense_0']
    >>> {variable.name: tuple(variable.shape) for variable in model.shared_variables()}
    {'lora_kernel_a': (6, 2), 'lora_kernel_b': (2, 8)}
    """
    if type(rank) is not int or rank < 1:
        raise ValueError(f"`rank` of enable_lora is {rank!r}; expected a whole number above 0.")
    if alpha is not None and not 0 < alpha < float("inf"):
        raise ValueError(f"`alpha` of enable_lora is {alpha!r}; expected a finite number above 0.")
    chosen = select(model, layers, "layers")
    inside = [p for p in _inside(model, chosen) if isinstance(p.layer, ADAPTABLE)]
    if not inside:
        raise ValueError(
            f"`layers` of enable_lora names {[p.path for p in chosen]}, in which no layer is one of "
            f"{[cls.__name__ for cls in ADAPTABLE]}; name others."
        )
    adapted = [p.path for p in inside if is_adapted(p.layer)]
    if adapted:
        raise ValueError(
            f"The layers {adapted} have a low-rank update already; name others, or merge_lora first."
        )
    freeze(model, chosen)
    for place in inside:
        place.layer.enable_lora(rank, lora_alpha=alpha)
    thaw(model, inside)
    for place in inside:
        for variable in place.layer.trainable_variables:
            variable.trainable = variable.name.startswith("lora_")
    return [place.path for place in inside]


def merge_lora(model: Any, layers: str | Iterable[str] | None = None) -> list[str]:
    """Adds low-rank updates to their kernels, W + alpha / rank A B, and forgets them.

    The model answers as before and has the weights that it had before `enable_lora`, frozen as they
    are; `unfreeze` them, and compile again, to train on.

    Args:
        model: A `MultiTaskModel`.
        layers: Where, as in `freeze`; everywhere by default.

    Returns:
        The paths of the layers.

    Raises:
        ValueError: If a name stands for nothing, or no layer has an update.
    """
    chosen = places(model) if layers is None else _inside(model, select(model, layers, "layers"))
    found = {id(place.layer): place for place in chosen if is_adapted(place.layer)}
    if not found:
        raise ValueError("No layer has a low-rank update; call enable_lora first, or name others.")
    for place in found.values():
        merge(place.layer)
        base_of(place.layer).trainable = False
    trace_anew(model)
    return [place.path for place in found.values()]


def _inside(model: Any, chosen: list[Place]) -> list[Place]:
    """These layers and those that they hold, each once."""
    holders = {id(place.layer) for place in chosen}
    found = [p for p in places(model) if any(id(x) in holders for x in (*p.above, p.layer))]
    return list({id(place.layer): place for place in found}.values())
