"""The command that writes the page people look at: `report`."""

import json
import pathlib
from typing import Annotated, Any

import typer

from keras_mtl.cli._app import app, load, say


@app.command()
def report(
    run: Annotated[pathlib.Path, typer.Argument(help="The folder of a run; see `runs`.")],
    comparison: Annotated[
        pathlib.Path | None, typer.Option(help="What `compare --output` wrote, for Delta_m.")
    ] = None,
    affinity: Annotated[
        bool,
        typer.Option(help="How the tasks' gradients stand to each other, on validation rows."),
    ] = True,
    explain: Annotated[
        bool, typer.Option(help="Which inputs each task uses, on 200 rows; takes longer.")
    ] = False,
    sensitive: Annotated[
        list[str] | None,
        typer.Option(
            help="An input or label whose groups are judged apart; may be given more than once. Needs "
            "the extra `fairness`."
        ),
    ] = None,
    output: Annotated[
        pathlib.Path | None, typer.Option(help="Where the files go; the run's folder if none.")
    ] = None,
) -> None:
    """Writes report.html, report.md and report.json of a run, judged on its test rows."""
    from keras_mtl._run_files import read_run
    from keras_mtl.reporting import report as write

    known = read_run(run)
    compared = None if comparison is None else _comparison(comparison)
    model = None if known.model_file is None else load(known.model_file)
    say(f"Asking the model of {run} about its test rows ...")
    page = write(
        run,
        model=model,
        comparison=compared,
        affinity=affinity or None,
        explanation=explain or None,
        sensitive=sensitive or None,
        folder=output,
    )
    typer.echo(f"Report: {page}")


def _comparison(path: pathlib.Path) -> Any:
    """What `keras-mtl compare --output` wrote.

    Raises:
        ValueError: If it is no such file; names the file.
    """
    from keras_mtl.evaluation import Comparison

    if not path.is_file():
        raise ValueError(
            f"There is no file {str(path)!r}; `keras-mtl compare CONFIG --output {path}` writes it."
        )
    try:
        return Comparison.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(
            f"{path} is not what `keras-mtl compare --output` wrote: {error} Write it anew."
        ) from error
