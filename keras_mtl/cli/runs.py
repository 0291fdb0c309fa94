"""The command that tells of runs: `runs`."""

import json
import pathlib
from typing import Annotated

import typer

from keras_mtl.cli._app import app


@app.command()
def runs(
    folders: Annotated[
        list[pathlib.Path] | None,
        typer.Argument(help="A folder of runs; or two or more runs, to compare them."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare all runs of the folder.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Lists the runs of a folder, or shows side by side where runs differ.

    Runs are the folders that `train --run` or callbacks.RunFolder made. "killed" is a run whose process
    is gone before it was finished: start it again, and it goes on.
    """
    from keras_mtl._run_files import ABOUT, list_runs, read_run
    from keras_mtl.cli import _run_table as table

    given = folders or [pathlib.Path("runs")]
    if len(given) == 1 and not (given[0] / ABOUT).is_file():
        found = list_runs(given[0])
    else:
        found = [read_run(folder) for folder in given]
    if compare or len(given) > 1:
        if len(found) < 2:
            raise ValueError(f"There is {len(found)} run in {given[0]}; two are needed to compare.")
        shown = table.compared(found)
        typer.echo(json.dumps(shown, indent=1) if as_json else table.compared_text(shown))
    elif as_json:
        typer.echo(json.dumps([table.summary(run) for run in found], indent=1))
    else:
        typer.echo(table.listed(found) if found else f"There is no run in {given[0]}.")
