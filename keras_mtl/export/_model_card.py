"""What a version is, for the people who come upon it: `MODEL_CARD.md`."""

import datetime
import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_mtl._version import __version__
from keras_mtl.export import _preprocessing_file
from keras_mtl.export._input_names import input_names
from keras_mtl.export._preprocessed import Preprocessing
from keras_mtl.export._signature_defs import offered
from keras_mtl.export._signatures import PREPROCESSED

_FILE = "MODEL_CARD.md"
_MOST_CLASSES = 12


def write_model_card(
    folder: pathlib.Path, name: str, model: Any, labels: Mapping[str, Any], report: Any = None
) -> None:
    """Writes the card of a version that is otherwise complete, and the file that the card names.

    TF Serving passes over both.

    Args:
        folder: The version.
        name: The model's.
        model: The model that was exported.
        labels: What `label_table` gave.
        report: An object with `to_markdown`, such as `keras_mtl.evaluate` gives, or None.
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    signatures = offered(folder)
    described = {}
    if PREPROCESSED in signatures:
        described = Preprocessing(model, input_names(model)).described
        _preprocessing_file.write(folder, described)
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    parts = [f"# {name}", "", "## Tasks", "", *_tasks(labels), "", "## Inputs", ""]
    default = signatures["serving_default"]
    inputs = [(key, spec.dtype.name, _shape(spec)) for key, spec in default.inputs.items()]
    parts += _table(("input", "dtype", "shape"), inputs)
    if report is not None:
        parts += ["", "## Labels and metrics", "", report.to_markdown().strip()]
    parts += ["", "## Signatures", "", *_table(("signature", "takes", "gives"), [
        (key, _told(found.inputs), _told(found.outputs)) for key, found in signatures.items()
    ])]  # fmt: skip
    if described:
        parts += ["", "## Preprocessing", "", *_preprocessing(described)]
    parts += ["", "## Parameters", "", *_table(("part", "parameters"), _parameters(model))]
    parts += ["", "## Made", "", *_table(("what", "value"), [
        ("date (UTC)", now.strftime("%Y-%m-%d %H:%M:%S")),
        ("size on disk, bytes, without this card", f"{size:,}"),
        ("keras_mtl", __version__),
        ("keras", keras.__version__),
        ("tensorflow", tf.__version__),
    ])]  # fmt: skip
    (folder / _FILE).write_text("\n".join(parts) + "\n", encoding="utf-8")


def _tasks(labels: Mapping[str, Any]) -> list[str]:
    rows = []
    for task, told in labels.items():
        known = told.get("classes") or told.get("dimensions") or []
        listed = ", ".join(map(str, known[:_MOST_CLASSES]))
        if len(known) > _MOST_CLASSES:
            listed += f", ...: {len(known)} in all, in assets/labels.json"
        others = {k: v for k, v in told.items() if k not in ("kind", "classes", "dimensions")}
        about = "; ".join(f"{key}: {_plain(value)}" for key, value in others.items())
        rows.append((task, told["kind"], listed, about))
    return _table(("task", "kind", "classes or dimensions", "more"), rows)


def _preprocessing(described: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield f"What `{PREPROCESSED}` takes; the names in quotes are in `{_preprocessing_file.FILE}`:"
    yield ""
    yield from _table(
        ("input", "made from", "what"),
        [(name, ", ".join(told["from"]), told["what"]) for name, told in described.items()],
    )


def _parameters(model: Any) -> list[tuple[str, str]]:
    counts = {
        part: sum(layer.count_params() for layer in model.layers_of(part))
        for part in ("shared", *model.task_names)
    }
    counts["all"] = sum(layer.count_params() for layer in model.layers)
    return [(part, f"{count:,}") for part, count in counts.items()]


def _told(specs: Mapping[str, tf.TensorSpec]) -> str:
    return "; ".join(f"{name}: {spec.dtype.name} {_shape(spec)}" for name, spec in specs.items())


def _shape(spec: tf.TensorSpec) -> str:
    sizes = ["any" if size is None else str(size) for size in spec.shape]
    return f"({', '.join(sizes)})"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    # A bar or a line's end within a cell would end it.
    cells = [[" ".join(c.replace("|", "\\|").split()) for c in line] for line in lines]
    return [f"| {' | '.join(line)} |" for line in cells]
