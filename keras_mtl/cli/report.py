"""The command that writes the page people look at: `report`."""

import pathlib
from typing import Annotated

import typer

from keras_mtl.cli._app import app, say


@app.command()
def report(
    run: Annotated[pathlib.Path, typer.Argument(help="The folder of a run; see `runs`.")],
    output: Annotated[
        pathlib.Path | None, typer.Option(help="Where the files go; the run's folder if none.")
    ] = None,
) -> None:
    """Writes report.html, report.md and report.json of a run, judged on its test rows."""
    from keras_mtl.reporting import report as write

    say(f"Asking the model of {run} about its test rows ...")
    page = write(run, folder=output)
    typer.echo(f"Report: {page}")
