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
        ValueError: If there is no such file.
    """
    import keras

    import keras_mtl  # noqa: F401 (registers the layers that the file names)

    if not path.is_file():
        raise ValueError(f"There is no model file {str(path)!r}; train one with `keras-mtl train`.")
    return keras.models.load_model(path)


def say(line: str) -> None:
    """Tells of progress, beside what the command prints."""
    typer.echo(line, err=True)
