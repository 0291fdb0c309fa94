"""What Keras has to be told of a functional model of our own, in releases that do not see it."""

import functools
import inspect
from typing import Any

import keras


@functools.cache
def _functional_class() -> Any:
    x = keras.Input((), name="x")
    y = keras.layers.Identity(name="y")(x)
    return type(keras.Model(x, y, name="functional"))


@functools.cache
def declare_functional(cls: type) -> None:
    """Makes Keras save, load and clone `cls` as the functional model that it is.

    Keras compares constructors to tell, and its own shows as `(*args, **kwargs)` in some releases
    (3.12 is one): there, ours is declared the same, with the `self` that Keras counts on.
    """
    functional = _functional_class()
    if "outputs" not in inspect.getfullargspec(functional.__init__).args:
        shown = inspect.signature(functional.__init__, follow_wrapped=False)
        itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        ours: Any = cls.__init__  # type: ignore[misc]
        ours.__signature__ = shown.replace(parameters=[itself, *shown.parameters.values()])


def is_functional(layer: Any) -> bool:
    """Whether a layer is a model that calls its layers one after the other, and does nothing else."""
    cls = type(layer)
    if isinstance(layer, keras.Sequential):
        return cls.call is keras.Sequential.call
    return isinstance(layer, _functional_class()) and cls.call is _functional_class().call


def note_parts(model: keras.Model, *parts: keras.layers.Layer) -> None:
    """Counts `parts`, attributes that no input flows through, among the layers of `model`.

    Keras 3.12 does not take note of what a functional model is given after its graph, so that the
    variables of such a part would not be trained.
    """
    for part in parts:
        if all(part is not layer for layer in model._layers):
            model._layers.append(part)
