"""A SavedModel that TF Serving, and whatever else reads SavedModels, can run."""

import json
import os
import pathlib
import shutil
import tempfile
from typing import Any

import keras
import tensorflow as tf

from keras_mtl.export._labels_file import label_table

_WAITING = ".exporting-"


def saved_model(model: Any, folder: Any, *, keep: int | None = None) -> pathlib.Path:
    """Writes the next version of a model: `folder/1`, `folder/2`, ...

    The signature `serving_default` takes the inputs under their names and gives every task's
    output under the task's name; a signature named after each task takes what that task needs and
    gives its output alone. Batch and sequence length are free. Where tasks have classes,
    `serving_labels` gives `<task>`, the class or tag that is most likely, as strings, and the asset
    `assets/labels.json` tells the classes, tags, dimensions and units of each task.

    The version appears at once and whole: it is written beside under a hidden name, which TF
    Serving passes over, and then renamed.

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
    folder = pathlib.Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        waiting = pathlib.Path(tempfile.mkdtemp(prefix=f"{_WAITING}{os.getpid()}-", dir=folder))
    except OSError as error:
        raise OSError(
            f"The model cannot be exported to {str(folder)!r}: {error}; choose a folder that can be "
            "written."
        ) from None
    try:
        _write(model, waiting / "model")
        version = _claim(waiting / "model", folder)
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
    if keep is not None:
        for old in versions(folder)[:-keep]:
            shutil.rmtree(folder / str(old))
    return version


def versions(folder: Any) -> list[int]:
    """The versions that a folder holds, in their order."""
    folder = pathlib.Path(folder)
    return sorted(int(p.name) for p in folder.iterdir() if p.is_dir() and p.name.isdigit())


def _write(model: Any, path: pathlib.Path) -> None:
    archive = keras.export.ExportArchive()
    archive.track(model)
    specs = {t.name: _spec(t) for t in model.inputs}
    # The first endpoint is the default one, so this comes first.
    archive.add_endpoint("serving_default", _answers(model, model.task_names), [specs])
    for task in model.task_names:
        needed = {t.name: _spec(t) for t in model.task_model(task).inputs}
        archive.add_endpoint(task, _answers(model.task_model(task), [task]), [needed])
    table = label_table(model)
    if any("classes" in told for told in table.values()):
        archive.add_endpoint("serving_labels", _decided(model), [specs])
    holder = tf.Module(name="labels")
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch) / "labels.json"
        source.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        holder.labels = tf.saved_model.Asset(str(source))
        archive.track(holder)
        archive.write_out(str(path), verbose=False)


def _answers(model: Any, tasks: list[str]) -> Any:
    def answers(inputs: Any) -> Any:
        given = model(_structured(model, inputs), training=False)
        # Serving speaks float32, whatever the model computes in.
        return {task: tf.cast(given[task], tf.float32) for task in tasks}

    return answers


def _decided(model: Any) -> Any:
    classes = {
        name: tf.constant(task.classes)
        for name, task in model.tasks.items()
        if task.classes is not None and type(task).__name__ != "MultiLabel"
    }

    def decided(inputs: Any) -> Any:
        given = model(_structured(model, inputs), training=False)
        return {
            name: tf.gather(known, model.tasks[name].decide(given[name]))
            for name, known in classes.items()
        }

    return decided


def _structured(model: Any, inputs: Any) -> Any:
    """The named inputs in the structure that the model was built with."""
    flat = [inputs[tensor.name] for tensor in model.inputs]
    return keras.tree.pack_sequence_as(model.input, flat)


def _spec(tensor: Any) -> tf.TensorSpec:
    return tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name)


def _claim(written: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Renames a finished export to the next free number; another writer may be doing the same."""
    while True:
        version = folder / str(max(versions(folder), default=0) + 1)
        try:
            os.rename(written, version)
            return version
        except OSError:
            if not version.exists():
                raise


def _remove_abandoned(folder: pathlib.Path) -> None:
    """Removes what an export left that was killed: its process is gone."""
    for left in folder.glob(f"{_WAITING}*"):
        pid = left.name[len(_WAITING) :].split("-")[0]
        if not pid.isdigit() or not _runs(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
