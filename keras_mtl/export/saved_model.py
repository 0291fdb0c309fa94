"""A SavedModel that TF Serving, and whatever else reads SavedModels, can run."""

import json
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_mtl.export._input_names import input_names, restore_names, stand_ins
from keras_mtl.export._labels_file import label_table
from keras_mtl.export._versions import write_version

_DEFAULT, _LABELS = "serving_default", "serving_labels"


def saved_model(model: Any, folder: Any, *, keep: int | None = None) -> pathlib.Path:
    """Writes the next version of a model: `folder/1`, `folder/2`, ...

    The signature `serving_default` takes the inputs under their names and gives every task's
    output under the task's name; a signature named after each task takes what that task needs and
    gives its output alone. Batch and sequence length are free. Where tasks decide for one class (or
    one tag a position), `serving_labels` gives its name under the task's name, as strings. The
    asset `assets/labels.json` tells the kind, classes, tags, dimensions and units of every task.

    The version appears at once and whole: it is written beside under a hidden name, which TF
    Serving passes over, and then renamed. What a killed export left is removed by the next one.

    Args:
        model: A `MultiTaskModel`.
        folder: The folder of the model's versions; made if it is not there.
        keep: How many versions to keep, the newest ones; None keeps all.

    Returns:
        The folder of the new version.

    Raises:
        TypeError: If `model` is no multi-task model.
        ValueError: If `keep` is not positive.
        OSError: If the folder cannot be written; nothing is left in it.
    """
    names = getattr(model, "task_names", None)
    if not isinstance(model, keras.Model) or not names:
        raise TypeError(
            f"export.saved_model takes a keras_mtl.MultiTaskModel, but came a {type(model).__name__}; "
            "for any other Keras model use its own `export`."
        )
    if keep is not None and keep < 1:
        raise ValueError(f"`keep` is {keep}; expected at least 1, or None to keep every version.")
    return write_version(folder, lambda path: _write(model, path), keep)


def _write(model: Any, path: pathlib.Path) -> None:
    names = input_names(model)
    stood_in = stand_ins(names.values())
    specs = {
        names[t.name]: tf.TensorSpec(
            t.shape, t.dtype, name=stood_in.get(names[t.name], names[t.name])
        )
        for t in model.inputs
    }
    archive = keras.export.ExportArchive()
    archive.track(model)
    for layer in model._flatten_layers(include_self=False):
        # Lookup tables: Keras 3.12 does not find those that a layer holds in a list.
        if layer.built and not layer.variables:
            archive.track(layer)
    # The first endpoint is the default one, so this comes first.
    archive.add_endpoint(_DEFAULT, _answers(model, names), [specs])
    for task in model.task_names:
        alone = model.task_model(task)
        needed = {names[t.name]: specs[names[t.name]] for t in alone.inputs}
        archive.add_endpoint(task, _answers(alone, names), [needed])
    if _deciding(model):
        archive.add_endpoint(_LABELS, _decided(model, names), [specs])
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch) / "labels.json"
        source.write_text(json.dumps(label_table(model), indent=1) + "\n", encoding="utf-8")
        archive.track(_asset(source))
        try:
            archive.write_out(str(path), verbose=False)
        except tf.errors.OpError as error:
            raise OSError(
                f"The model cannot be exported to {str(path.parent.parent)!r}: {error.message}; make "
                "room there, or choose another folder."
            ) from None
    restore_names(path, stood_in)


def _asset(file: pathlib.Path) -> Any:
    """A file that goes into the SavedModel: its lines as a table, all that an archive takes along."""
    lines = tf.lookup.TextFileInitializer(
        str(file),
        key_dtype=tf.int64,
        key_index=tf.lookup.TextFileIndex.LINE_NUMBER,
        value_dtype=tf.string,
        value_index=tf.lookup.TextFileIndex.WHOLE_LINE,
    )
    return tf.lookup.StaticHashTable(lines, default_value="")


def _answers(model: Any, names: Mapping[str, str]) -> Callable[[Any], dict[str, Any]]:
    def answers(inputs: Any) -> dict[str, Any]:
        given = model(_structured(model, names, inputs), training=False)
        return {task: _full_precision(given[task]) for task in model.task_names}

    return answers


def _decided(model: Any, names: Mapping[str, str]) -> Callable[[Any], dict[str, Any]]:
    deciding = _deciding(model)

    def decided(inputs: Any) -> dict[str, Any]:
        given = model(_structured(model, names, inputs), training=False)
        return {
            name: tf.gather(tf.constant(task.classes), task.decide(given[name]))
            for name, task in deciding.items()
        }

    return decided


def _deciding(model: Any) -> dict[str, Any]:
    """The tasks whose answer is one class, or one tag a position."""
    return {
        name: task
        for name, task in model.tasks.items()
        if task.classes is not None and not task.elementwise
    }


def _structured(model: Any, names: Mapping[str, str], inputs: Any) -> Any:
    """The named inputs in the structure that the model was built with."""
    flat = [inputs[names[tensor.name]] for tensor in model.inputs]
    return keras.tree.pack_sequence_as(model.input, flat)


def _full_precision(output: Any) -> Any:
    """What a model computes in half precision is served as float32, which every client reads."""
    half = output.dtype in (tf.float16, tf.bfloat16)
    return tf.cast(output, tf.float32) if half else output
