"""Inputs under their own names, also those that TensorFlow would rename: "hours-per-week"."""

import keyword
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2


def input_names(model: Any) -> dict[str, str]:
    """What the data call each input of a model, by the name of its tensor.

    That is the key where the model was built with a dict, and the name of the `Input` otherwise.
    """
    structure = model.input
    if isinstance(structure, Mapping):
        return {tensor.name: str(key) for key, tensor in structure.items()}
    return {tensor.name: tensor.name for tensor in model.inputs}


def stand_ins(names: Iterable[str]) -> dict[str, str]:
    """A name that Python takes for a parameter, for each name that it does not take.

    >>> stand_ins(["age", "hours-per-week", "class"])
    {'hours-per-week': 'input_0', 'class': 'input_1'}
    """
    names = list(names)
    unfit = [name for name in names if not _fit(name)]
    free = (f"input_{i}" for i in range(len(names) * 2) if f"input_{i}" not in names)
    return dict(zip(unfit, free, strict=False))


def restore_names(folder: pathlib.Path, stood_in: Mapping[str, str]) -> None:
    """Puts the names back into the signatures of a SavedModel that was written with stand-ins.

    A signature is a table from names to tensors and takes any name; it is only the Python functions
    that they are written from that do not.

    Args:
        folder: The SavedModel.
        stood_in: What `stand_ins` gave.
    """
    if not stood_in:
        return
    name_of = {stand_in: name for name, stand_in in stood_in.items()}
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in saved.meta_graphs:
        for signature in graph.signature_def.values():
            for stand_in in [key for key in signature.inputs if key in name_of]:
                signature.inputs[name_of[stand_in]].CopyFrom(signature.inputs[stand_in])
                del signature.inputs[stand_in]
        for node in graph.object_graph_def.nodes:
            if node.HasField("bare_concrete_function"):
                keywords = node.bare_concrete_function.argument_keywords
                restored = [name_of.get(key, key) for key in keywords]
                del keywords[:]
                keywords.extend(restored)
    path.write_bytes(saved.SerializeToString(deterministic=True))
    # It is of the file as it was, and loaders do without.
    (folder / "fingerprint.pb").unlink(missing_ok=True)


def _fit(name: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)) and not keyword.iskeyword(name)
