"""Text files that are there whole or not at all, whoever reads the folder meanwhile."""

import os
import pathlib


def write_text(file: pathlib.Path, text: str) -> pathlib.Path:
    """Writes a file beside under a hidden name, then renames it.

    Raises:
        OSError: If the folder cannot be written.
    """
    waiting = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        waiting.write_text(text, encoding="utf-8")
        os.replace(waiting, file)
    finally:
        waiting.unlink(missing_ok=True)
    return file
