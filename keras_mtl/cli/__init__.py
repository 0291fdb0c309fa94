"""The command line: `keras-mtl demo, train, runs, report, tune, evaluate, predict, export, serve ...`.

A file here holds commands of one purpose; a new file is one more line of imports below.
"""

import os
import sys

import typer

from keras_mtl.cli import learn, report, runs, tune, use  # noqa: F401 (each adds its commands)
from keras_mtl.cli._app import app

__all__ = ["app", "main"]


def main() -> None:
    """Runs the command line; a fault of the user's is one message and exit code 1."""
    try:
        app()
    except (ValueError, TypeError, OSError, ImportError) as error:
        if os.environ.get("KERAS_MTL_DEBUG"):
            raise
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
