"""From an encoder, tasks and a sharing scheme to a model."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_mtl import sharing as schemes
from keras_mtl._names import check_task_names
from keras_mtl.encoders import Encoder
from keras_mtl.model import MultiTaskModel
from keras_mtl.tasks import Task


def build_model(
    encoder: Any,
    tasks: Sequence[Task],
    sharing: Any = "hard",
    *,
    inputs: Any = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a multi-task model: shared encoder, sharing scheme, one head a task.

    Args:
        encoder: An object of `keras_mtl.encoders`; or any Keras model, whose inputs become the
            model's; or any Keras layer, together with `inputs`.
        tasks: Objects of `keras_mtl.tasks`, each with a name of its own.
        sharing: A name of `keras_mtl.sharing.names()` or a sharing object.
        inputs: `keras.Input`, or a dict of them, for an encoder that is a bare layer.
        name: The model's name.

    Returns:
        The model, not compiled; its outputs are `{task: served output}`.

    Raises:
        TypeError: If the encoder is no layer, or a task is no task.
        ValueError: If task names clash, inputs are needed or not wanted, or features do not fit a
            task.

    Example:

    >>> from keras_mtl import encoders, tasks
    >>> model = build_model(
    ...     encoders.Dense(features=4, units=[16]),
    ...     [tasks.Binary("sold"), tasks.Regression("price", units="EUR")],
    ... )
    >>> model.compile("adam", loss_weights={"sold": 0.3, "price": 0.7})
    >>> {name: output.shape for name, output in model.output.items()}
    {'sold': (None, 1), 'price': (None, 1)}
    """
    for task in tasks:
        if not isinstance(task, Task):
            raise TypeError(
                f"`tasks` holds {task!r} of type {type(task).__name__}; expected objects of "
                "keras_mtl.tasks, such as tasks.MultiClass('intent', classes=7)."
            )
    named_inputs, features = _encode(encoder, inputs)
    names = check_task_names([task.name for task in tasks], named_inputs)
    shared = schemes.get(sharing).connect(features, names)
    outputs = {task.name: task.head(shared[task.name]) for task in tasks}
    single = next(iter(named_inputs.values())) if len(named_inputs) == 1 else None
    return MultiTaskModel(named_inputs if single is None else single, outputs, name=name)


def _encode(encoder: Any, inputs: Any) -> tuple[dict[str, Any], Any]:
    if not isinstance(encoder, keras.Layer):
        raise TypeError(
            f"`encoder` came as {encoder!r} of type {type(encoder).__name__}; expected an object of "
            "keras_mtl.encoders, a Keras model or a Keras layer."
        )
    bare = not isinstance(encoder, (Encoder, keras.Model))
    if bare == (inputs is None):
        raise ValueError(
            "An encoder that is a bare layer does not know its inputs; give "
            "inputs=keras.Input(shape, name=...)."
            if bare
            else f"`inputs` is not wanted with {type(encoder).__name__}, which has its own; leave it "
            "out."
        )
    if isinstance(encoder, Encoder):
        named = encoder.make_inputs()
        return named, encoder.features_of(named)
    if bare:
        named = _by_name(inputs)
        return named, encoder(inputs)
    named = {
        t.name: keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in encoder.inputs
    }
    given = keras.tree.map_structure(lambda t: named[t.name], encoder.input)
    return named, encoder(given)


def _by_name(inputs: Any) -> dict[str, Any]:
    if isinstance(inputs, Mapping):
        return dict(inputs)
    return {tensor.name: tensor for tensor in keras.tree.flatten(inputs)}
