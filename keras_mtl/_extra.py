"""Packages of an extra: imported where they are used, and missed by the name of the extra."""

import importlib
from typing import Any


def extra_module(module: str, extra: str, what: str) -> Any:
    """A module that one of the package's extras brings.

    Args:
        module: Its full name.
        extra: The extra, as `setup.cfg` calls it.
        what: What needs it, in a user's words; the beginning of the message.

    Raises:
        ImportError: If it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what} needs {module.partition('.')[0]}, which cannot be imported ({error}); install "
            f'it with: pip install "keras-mtl[{extra}]".'
        ) from error
