"""Which weights a model trains, at any depth, and how its files tell."""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import keras

from keras_mtl._layers_by_name import Place, places
from keras_mtl._lora import base_of, is_adapted

_KEY = "layer_states"  # in a model's config


def freeze(model: Any, chosen: Sequence[Place]) -> None:
    """Trains these layers and what is inside of them no longer."""
    for place in chosen:
        _tell(place.layer, trained=False)
    trace_anew(model)


def thaw(model: Any, chosen: Sequence[Place]) -> None:
    """Trains these layers and what is inside of them, and nothing else that is frozen."""
    if not model.trainable:
        _tell(model, trained=True)
        for layer in model.layers:
            _tell(layer, trained=False)
    for place in places(model):
        if not place.layer.trainable:
            # One that was made frozen has layers that do not know it.
            _tell(place.layer, trained=False)
    flags = _Flags(model)
    inside = [layer for place in chosen for layer in place.layer._flatten_layers()]
    above = [layer for place in chosen for layer in place.above]
    flags.restore(
        opened={id(layer) for layer in (*above, *inside)},
        thawed={id(v) for v in weights_in(chosen)},
    )
    trace_anew(model)


def trace_anew(model: Any) -> None:
    """What was compiled of a model before its layers changed is not used any longer."""
    model.make_train_function(force=True)
    model.make_test_function(force=True)
    model.make_predict_function(force=True)


def weights_in(chosen: Sequence[Place]) -> list[keras.Variable]:
    """What is trained of these layers once they are thawed, each once."""
    found: dict[int, keras.Variable] = {}
    for place in chosen:
        for layer in place.layer._flatten_layers():
            kept = base_of(layer) if is_adapted(layer) else None
            found |= {id(v): v for v in layer._trainable_variables if v is not kept}
    return list(found.values())


@contextlib.contextmanager
def training(model: Any, variables: Sequence[keras.Variable]) -> Iterator[None]:
    """As long as it lasts, a model trains these variables too."""
    flags = _Flags(model)
    wanted = {id(v) for v in [*model.trainable_variables, *variables]}
    flags.open_for(wanted)
    try:
        yield
    finally:
        flags.restore()


def unknown_to(optimizer: Any, variables: Sequence[keras.Variable]) -> list[str]:
    """The paths of those variables that a built optimizer was not built for."""
    known = {id(v) for v in optimizer._trainable_variables}
    return [v.path for v in variables if id(v) not in known]


# How it is saved.


def states_of(model: Any) -> dict[str, Any]:
    """What the configs of a model's layers do not tell, as an entry of the model's own config.

    Which layers are frozen inside of others, which have low-rank updates, and which frozen weights
    the optimizer knows because they are to be thawed. Layers are told by their place among those
    with weights: inside of others, names may be another's in another process.
    """
    every = _with_weights(model)
    frozen = [
        i
        for i, p in enumerate(every)
        if not p.layer.trainable and all(x.trainable for x in p.above)
    ]
    adapted = {
        str(i): {"rank": p.layer.lora_rank, "alpha": p.layer.lora_alpha}
        for i, p in enumerate(every)
        if is_adapted(p.layer)
    }
    trained = {id(v) for v in model.trainable_variables}
    weights = _by_key(every)
    apart = [
        key for key, (layer, v) in weights.items()
        if layer.trainable and not v.trainable and not (is_adapted(layer) and v is base_of(layer))
    ]  # fmt: skip
    known = []
    if model.compiled and model.optimizer.built:
        of_optimizer = {id(v) for v in model.optimizer._trainable_variables}
        known = [k for k, (_, v) in weights.items() if id(v) in of_optimizer - trained]
    states = {"frozen": frozen, "frozen_weights": apart, "lora": adapted, "to_thaw": known}
    told: dict[str, Any] = {key: value for key, value in states.items() if value}
    return {_KEY: {"of": len(every), **told}} if told else {}


def without_states(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A model's config as Keras knows it, and what `states_of` told."""
    config = dict(config)
    return config, config.pop(_KEY, {})


def bring_back(model: Any, states: Mapping[str, Any]) -> Any:
    """Makes the layers of a model what `states_of` told, and returns the model.

    Raises:
        ValueError: If the model has other layers.
    """
    every = _with_weights(model)
    if states and states["of"] != len(every):
        raise ValueError(
            f"The file tells of {states['of']} layers with weights, but the model has {len(every)}; "
            "load it with the release, and the layers, that it was saved with."
        )
    for i, lora in states.get("lora", {}).items():
        layer = every[int(i)].layer
        if not layer.lora_enabled:
            layer.enable_lora(lora["rank"], lora_alpha=lora["alpha"])
        layer.lora_alpha = lora["alpha"]
    for i in states.get("frozen", []):
        _tell(every[i].layer, trained=False)
    weights = _by_key(every)
    for key in states.get("frozen_weights", []):
        weights[key][1].trainable = False
    # As it is: Keras would track a dict that is assigned to a model.
    object.__setattr__(model, "layer_states", states)
    return model


def to_thaw(model: Any) -> list[keras.Variable]:
    """Of a model that was loaded, the frozen weights that its optimizer knew."""
    weights = _by_key(_with_weights(model))
    return [weights[key][1] for key in model.layer_states.get("to_thaw", [])]


def _with_weights(model: Any) -> list[Place]:
    return [place for place in places(model) if place.layer.weights]


def _tell(layer: Any, *, trained: bool) -> None:
    """Makes a layer and all inside of it trainable or not.

    Keras's own setter does nothing where the outer layer has that value already.
    """
    for one in layer._flatten_layers():
        one._trainable = trained
        for variable in one._trainable_variables:
            variable.trainable = trained


def _by_key(every: Sequence[Place]) -> dict[str, tuple[Any, keras.Variable]]:
    return {
        f"{at}:{i}": (place.layer, variable)
        for at, place in enumerate(every)
        for i, variable in enumerate(place.layer._trainable_variables)
    }


class _Flags:
    """Which layers and variables of a model are trainable now.

    Layers are told one by one here; by `layer.trainable` they would tell their own layers.
    """

    def __init__(self, model: Any):
        self._layers = [(layer, layer._trainable) for layer in model._flatten_layers()]
        self._variables = [(v, v.trainable) for v in model.variables]

    def open_for(self, wanted: Collection[int]) -> None:
        """Makes the variables of these ids trainable, and no others."""
        for layer, _ in self._layers:
            layer._trainable = True
        for variable, _ in self._variables:
            variable.trainable = id(variable) in wanted

    def restore(self, opened: Collection[int] = (), thawed: Collection[int] = ()) -> None:
        """Makes all as it was, and these layers and variables trainable."""
        for layer, was in self._layers:
            layer._trainable = was or id(layer) in opened
        for variable, was in self._variables:
            variable.trainable = was or id(variable) in thawed
