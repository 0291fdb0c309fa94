"""The command that tries many runs: `tune`."""

import pathlib
from typing import Annotated

import typer

from keras_mtl.cli._app import ConfigFile, app, say


@app.command()
def tune(
    config: ConfigFile,
    trials: Annotated[
        int | None,
        typer.Option(help="Trials of the study in all, instead of the file's.", min=1),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="The study's database URL; OUTPUT/tune.db if none."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The study's name; the file's if none.")] = None,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(help="The folder of what is written; tuning/NAME if none."),
    ] = None,
) -> None:
    """Tries what the `tuning` section of a YAML file says; prints and draws the Pareto front.

    Goes on where it was when it is called again, and shares the trials with other processes of the
    same storage and name. Writes front.svg, tuning.json, and a file trial_NUMBER.yaml for `train`
    of each trial on the front.
    """
    from keras_mtl import _run
    from keras_mtl._config_file import read_config
    from keras_mtl.tuning._configured import as_yaml, space_of, tune_run, with_parameters

    run = read_config(config)
    space_of(run)
    name = name or config.stem
    output = output or pathlib.Path("tuning") / name
    output.mkdir(parents=True, exist_ok=True)
    train, valid, _ = _run.load_data(run)
    found = tune_run(
        run,
        train,
        valid,
        trials=trials,
        storage=storage or f"sqlite:///{output / 'tune.db'}",
        name=name,
        progress=say,
    )
    typer.echo(f"\n{found}")
    if not found.finished:
        raise ValueError("No trial has finished, so that there is no front; try more trials.")
    typer.echo(f"Picture: {found.draw(output / 'front.svg')}")
    typer.echo(f"Report:  {found.to_json(output / 'tuning.json')}")
    for trial in found.front:
        path = output / f"trial_{trial.number}.yaml"
        path.write_text(as_yaml(with_parameters(run, trial.parameters)), encoding="utf-8")
        typer.echo(f"Run:     {path}")
