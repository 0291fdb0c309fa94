"""A SavedModel that TF Serving, and whatever else reads SavedModels, can run."""

import json
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_mtl._extra import extra_module
from keras_mtl.export._input_names import restore_names, stand_ins
from keras_mtl.export._labels_file import label_table
from keras_mtl.export._model_card import write_model_card
from keras_mtl.export._rows import checked_rows
from keras_mtl.export._signatures import DEFAULT, Signature, signatures
from keras_mtl.export._versions import write_version
from keras_mtl.export._warm_up import warm_up_requests, write_warm_up


def saved_model(
    model: Any,
    folder: Any,
    *,
    keep: int | None = None,
    pixels: tuple[float, float] | None = None,
    preprocessed: bool = False,
    warm_up: Any = None,
    report: Any = None,
) -> pathlib.Path:
    """Writes the next version of a model: `folder/1`, `folder/2`, ...

    The signature `serving_default` takes the inputs under their names and gives every task's
    output under the task's name; a signature named after each task takes what that task needs and
    gives its output alone. Batch and sequence length are free. Where tasks decide for one class (or
    one tag a position), `serving_labels` gives its name under the task's name, as strings.
    `serving_examples` takes serialised `tf.train.Example`, `(B,)` under the name `examples`, with a
    feature named after each input. `serving_images` takes the files of images, PNG or JPEG `(B,)`
    under the input's name, where a model has one input of images whose scale is known: of uint8, or
    told by `pixels`.

    The asset `assets/labels.json` tells the kind, classes, tags, dimensions and units of every
    task, and `MODEL_CARD.md` tells people what the version is.

    The version appears at once and whole: it is written beside under a hidden name, which TF
    Serving passes over, and then renamed. What a killed export left is removed by the next one.

    Args:
        model: A `MultiTaskModel`.
        folder: The folder of the model's versions; made if it is not there.
        keep: How many versions to keep, the newest ones; None keeps all.
        pixels: What black and white are in the data, such as `(0, 1)`, for `serving_images`.
        preprocessed: Whether `serving_preprocessed` is there too, which takes what encoders, and the
            preprocessing layers of Keras that stand on the inputs, make of them: ids, scaled numbers.
            `assets.extra/preprocessing.json` tells a client how.
        warm_up: A few rows, arrays by input name, or True for made-up ones: each signature answers
            them when a server loads the version, so that the first client does not wait for it.
        report: What `keras_mtl.evaluate` gave, for the model card.

    Returns:
        The folder of the new version.

    Raises:
        TypeError: If `model` is no multi-task model, or `report` no report.
        ValueError: If `keep` is not positive, or an argument is not for this model.
        ImportError: If `warm_up` is given and tensorflow-serving-api is not installed.
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
    if report is not None and not callable(getattr(report, "to_markdown", None)):
        raise TypeError(
            f"`report` came as a {type(report).__name__}; expected what keras_mtl.evaluate gives."
        )
    found = signatures(model, pixels=pixels, preprocessed=preprocessed)
    requests: dict[str, Any] = {}
    if warm_up is not None and warm_up is not False:
        extra_module("tensorflow_serving.apis.prediction_log_pb2", "serve", "`warm_up`")
        rows = checked_rows("warm_up", warm_up, found[DEFAULT].specs)
        requests = warm_up_requests(found, rows)
    name = pathlib.Path(folder).resolve().name
    content = _Content(model, name, found, requests, report)
    return write_version(folder, lambda path: _write(content, path), keep)


class _Content(NamedTuple):
    """What goes into a version."""

    model: Any
    name: str
    signatures: Mapping[str, Signature]
    requests: Mapping[str, Any]
    report: Any


def _write(content: _Content, path: pathlib.Path) -> None:
    model = content.model
    stood_in = stand_ins(dict.fromkeys(n for s in content.signatures.values() for n in s.specs))
    archive = keras.export.ExportArchive()
    archive.track(model)
    for layer in model._flatten_layers(include_self=False):
        # Lookup tables: Keras 3.12 does not find those that a layer holds in a list.
        if layer.built and not layer.variables:
            archive.track(layer)
    # The first endpoint is the default one, and `serving_default` is the first signature.
    for name, signature in content.signatures.items():
        specs = {
            key: tf.TensorSpec(spec.shape, spec.dtype, name=stood_in.get(key, key))
            for key, spec in signature.specs.items()
        }
        archive.add_endpoint(name, signature.answer, [specs])
    labels = label_table(model)
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch) / "labels.json"
        source.write_text(json.dumps(labels, indent=1) + "\n", encoding="utf-8")
        archive.track(_asset(source))
        try:
            archive.write_out(str(path), verbose=False)
            if content.requests:
                write_warm_up(path, content.requests)
        except tf.errors.OpError as error:
            raise OSError(
                f"The model cannot be exported to {str(path.parent.parent)!r}: {error.message}; make "
                "room there, or choose another folder."
            ) from None
    restore_names(path, stood_in)
    # Last, as it tells the size of the others.
    write_model_card(path, content.name, model, labels, content.report)


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
