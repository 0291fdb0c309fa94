"""Low-rank updates inside of a model's layers, and their way into its files."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl._layers_by_name import places

# The layers to which Keras can give one; attention is made of `EinsumDense`.
ADAPTABLE = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Embedding,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
)


class AdapterStates(keras.layers.Layer):
    """Saves and loads low-rank updates as they are, apart from the kernels that they are added to.

    Keras saves their sum, and starts anew with A = B = 0, where no gradient reaches either. A file of
    a model without them gives their layers the kernels, and an A that can be trained.

    Args:
        layers: Tells the layers that have one, always in the same order.
    """

    def __init__(self, layers: Callable[[], Sequence[Any]]):
        super().__init__(name="adapter_states")
        self.adapted = layers

    def save_own_variables(self, store: Any) -> None:
        for i, layer in enumerate(self.adapted()):
            for key, variable in _parts(layer).items():
                store[f"{key}_{i}"] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store: Any) -> None:
        layers, names = self.adapted(), list(store.keys())
        if names and layers and len(names) != 3 * len(layers):
            raise ValueError(
                f"The file holds low-rank updates of {len(names) // 3} layers, but the model has them "
                f"in {len(layers)}; enable LoRA in the same layers before loading."
            )
        for i, layer in enumerate(layers):
            parts = _parts(layer)
            if names:
                for key, variable in parts.items():
                    variable.assign(store[f"{key}_{i}"])
            else:
                first = parts["a"]
                first.assign(keras.initializers.HeUniform()(first.shape, first.dtype))


def adapted_in(model: Any) -> list[Any]:
    """The layers of a model that have a low-rank update, always in the same order."""
    found = [place.layer for place in places(model) if is_adapted(place.layer)]
    return list({id(layer): layer for layer in found}.values())


def is_adapted(layer: Any) -> bool:
    """Whether a layer has a low-rank update."""
    return isinstance(layer, ADAPTABLE) and layer.lora_enabled


def base_of(layer: Any) -> keras.Variable:
    """The kernel of a layer, or the table of an embedding, to which a low-rank update is added."""
    return next(v for v in layer.weights if v.name in ("kernel", "embeddings"))


def merge(layer: Any) -> None:
    """Adds a low-rank update to the kernel, W + alpha / rank A B, and takes it away."""
    parts = _parts(layer)
    a, b = (ops.cast(parts[key].value, "float32") for key in "ab")
    update = layer.lora_alpha / layer.lora_rank * ops.matmul(a, b)
    base = parts["base"]
    base.assign(ops.cast(ops.cast(base.value, "float32") + update, base.dtype))
    # What was compiled before, in other models that have this layer too, adds nothing twice.
    parts["b"].assign(ops.zeros(parts["b"].shape, parts["b"].dtype))
    for name in _names(layer):
        delattr(layer, name)
    layer.lora_enabled = False
    layer.lora_rank = layer.lora_alpha = None


def _parts(layer: Any) -> dict[str, keras.Variable]:
    a, b = (getattr(layer, name) for name in _names(layer))
    return {"base": base_of(layer), "a": a, "b": b}


def _names(layer: Any) -> list[str]:
    what = "embeddings" if isinstance(layer, keras.layers.Embedding) else "kernel"
    return [f"lora_{what}_a", f"lora_{what}_b"]
