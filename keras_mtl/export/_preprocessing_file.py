"""How a client does the preprocessing itself: vocabularies and statistics, beside a SavedModel."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from keras_mtl.export._written import write_text

# Where TF Serving lets anybody keep what is not the model's.
FILE = pathlib.PurePosixPath("assets.extra", "preprocessing.json")


def write(folder: pathlib.Path, described: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes what `Preprocessing.described` tells into a version folder.

    Args:
        folder: The version.
        described: For each input of `serving_preprocessed` how it is made.
    """
    file = folder / FILE
    file.parent.mkdir(exist_ok=True)
    write_text(file, json.dumps(described, indent=1, ensure_ascii=False) + "\n")
