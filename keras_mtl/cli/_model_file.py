"""A `.keras` file, loaded if it is whole: no code of it is run."""

import json
import pathlib
import zipfile
from typing import Any

# What a file may unpack to: so many times its size, and this much in any case. Keras packs nothing.
_TIMES, _ALWAYS = 100, 64 * 2**20


def load_model(path: pathlib.Path) -> Any:
    """The model of a `.keras` file, in Keras's safe mode.

    Raises:
        ValueError: If there is no such file, it is damaged, or it holds what this version does not
            know; names the file.
        ImportError: If it holds a part that a package is missing for.
    """
    import keras

    import keras_mtl  # noqa: F401 (registers the layers that the file names)

    if not path.is_file():
        raise ValueError(f"There is no model file {str(path)!r}; train one with `keras-mtl train`.")
    if path.suffix != ".keras":
        raise ValueError(f"{path} is not named as a model file; expected a name ending in .keras.")
    _check_whole(path)
    try:
        return keras.models.load_model(path, safe_mode=True)
    except ImportError:
        raise
    except Exception as error:
        # What Keras raises at a content that it cannot use is of any kind.
        raise ValueError(
            f"{path} cannot be loaded as a model: {_first_line(error)}; it is damaged, of another "
            "version, or holds code or layers that are not known here: save or train it anew."
        ) from error


def _check_whole(path: pathlib.Path) -> None:
    """Raises a `ValueError` if a part of the archive is damaged, missing or out of all proportion.

    Before anything is built of it, so that damage is told as such.
    """
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                declared = sum(part.file_size for part in archive.infolist())
                if declared > max(_ALWAYS, _TIMES * path.stat().st_size):
                    raise ValueError(f"it unpacks to {declared} bytes, out of all proportion")
                bad = archive.testzip()
                if bad is not None:
                    raise ValueError(f"its part {bad!r} is not what was written")
                json.loads(archive.read("config.json"))
        except Exception as error:
            # zipfile answers damage by errors of many kinds, such as those of the packing.
            raise ValueError(
                f"{path} is no whole .keras file: {_first_line(error)}; copy or train it anew."
            ) from error


def _first_line(error: Exception) -> str:
    said = str(error).strip().split("\n")[0]
    return (said or type(error).__name__)[:300].rstrip(".")
