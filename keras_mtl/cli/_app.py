"""The application that every command belongs to, and what commands have in common."""

import pathlib
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="keras-mtl",
    help="Train, judge and export Keras models of several tasks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigFile = Annotated[
    pathlib.Path, typer.Argument(help="The run's YAML file; see examples/*.yaml.")
]
ModelFile = Annotated[pathlib.Path, typer.Argument(help="A .keras file that `train` wrote.")]


def load(path: pathlib.Path) -> Any:
    """The model of a `.keras` file.

    Raises:
        ValueError: If there is no such file, or it cannot be loaded; names the file.
    """
    from keras_mtl.cli._model_file import load_model

    return load_model(path)


def say(line: str) -> None:
    """Tells of progress, beside what the command prints."""
    typer.echo(line, err=True)
