"""Commands that train and judge: `demo, train, evaluate, compare`."""

import functools
import pathlib
from typing import Annotated, Any

import typer

from keras_mtl.cli._app import ConfigFile, app, load, say


@app.command()
def demo(
    epochs: Annotated[int, typer.Option(help="Passes over the training canvases.", min=1)] = 10,
    seeds: Annotated[int, typer.Option(help="Runs of every model.", min=1)] = 3,
    logs: Annotated[pathlib.Path, typer.Option(help="Where TensorBoard's logs go.")] = pathlib.Path(
        "logs/digits"
    ),
    export: Annotated[pathlib.Path, typer.Option(help="Where the SavedModel goes.")] = pathlib.Path(
        "saved_models/digits"
    ),
) -> None:
    """Two real handwritten digits on a canvas: joint training against a model for each.

    Trains on scikit-learn's digits (no download), prints test accuracies and Delta_m, writes
    TensorBoard's logs, and exports the joint model.
    """
    import keras

    import keras_mtl
    from keras_mtl import callbacks, encoders, tasks

    train, valid, test = keras_mtl.datasets.multi_digits()

    def build(names: list[str]) -> keras_mtl.MultiTaskModel:
        encoder = encoders.Image((12, 12, 1), filters=(16, 32), units=128, dropout=0.3)
        return keras_mtl.build_model(encoder, [tasks.MultiClass(name, 10) for name in names])

    say("Training single-task and joint models on scikit-learn's digits ...")
    comparison = keras_mtl.compare(
        build, train, test, valid=valid, epochs=epochs, seeds=range(seeds), progress=say
    )
    keras.utils.set_random_seed(0)
    model = build(["left", "right"])
    model.compile("adam")
    model.fit(
        train.dataset(64, shuffle=True, seed=0),
        validation_data=valid.dataset(256),
        epochs=epochs,
        verbose=0,
        callbacks=[
            callbacks.TensorBoard(logs),
            callbacks.EarlyStopping("val_loss", patience=epochs),
        ],
    )
    report = keras_mtl.evaluate(model, test)
    version = keras_mtl.export.saved_model(model, export, pixels=(0, 1), report=report)
    typer.echo(f"\n{comparison}\n")
    typer.echo("The exported joint model on the test canvases:")
    typer.echo(f"{report}\n")
    typer.echo(f"Curves:     tensorboard --logdir {logs}")
    typer.echo(f"SavedModel: {version}")


@app.command()
def train(
    config: ConfigFile,
    folder: Annotated[
        pathlib.Path | None,
        typer.Option("--run", help="A folder that keeps the run together, such as runs/first."),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Begin anew, and remove the run in that folder.")
    ] = False,
) -> None:
    """Trains the model of a YAML file; writes model, logs, report and export as it says.

    With a folder (--run, or output.folder of the file) everything is kept there. If it is killed, the
    same command goes on with it, to the same end.
    """
    import keras

    import keras_mtl
    from keras_mtl import _run
    from keras_mtl._config_file import read_config

    run = read_config(config)
    if folder is not None:
        run.output = run.output.moved_to(str(folder))
    trained = None if anew else _trained(run.output.folder)
    keras.utils.set_random_seed(run.training.seed)
    parts = _run.load_data(run)
    kept = _run.run_folder(run, config, parts, anew=anew)
    if trained is None:
        model = _run.make_model(run, parts[0])
        _run.fit(run, model, parts[0], parts[1], kept)
    else:
        say(f"The model of {run.output.folder} is trained; it is judged now.")
        model = load(trained)
    report = keras_mtl.evaluate(model, parts[2])
    typer.echo(f"\nTest rows: {len(parts[2])}\n{report}\n")
    path = pathlib.Path(run.output.model)
    if kept is None or path != kept.folder / "model.keras":
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
    typer.echo(f"Model:      {path}")
    if run.output.report:
        typer.echo(f"Report:     {report.to_json(run.output.report)}")
    version = None
    if run.output.export:
        version = keras_mtl.export.saved_model(model, run.output.export)
        typer.echo(f"SavedModel: {version}")
    if run.output.logs:
        typer.echo(f"Curves:     tensorboard --logdir {run.output.logs}")
    if kept is not None:
        kept.add(report=report, export=version)
        typer.echo(f"Run:        {kept.folder}")
        typer.echo(f"Page:       keras-mtl report {kept.folder}")


def _trained(folder: str | None) -> pathlib.Path | None:
    """The model of a run that is trained but was not judged any more, or None.

    Raises:
        ValueError: If the run in the folder is wholly finished.
    """
    from keras_mtl._run_files import ABOUT, read_run

    if folder is None or not (pathlib.Path(folder) / ABOUT).is_file():
        return None
    run = read_run(folder)
    if run.status != "finished":
        return None
    if run.scores is not None or run.model_file is None:
        raise ValueError(
            f"The run in {folder!r} is finished, after {run.about.get('epochs')} epochs; name another "
            "folder by --run, or begin anew with --anew, which removes that run."
        )
    return run.model_file


@app.command()
def evaluate(
    config: ConfigFile,
    model: Annotated[pathlib.Path | None, typer.Option(help="Another .keras file.")] = None,
    part: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    output: Annotated[pathlib.Path | None, typer.Option(help="A JSON file to write.")] = None,
) -> None:
    """Judges a trained model on the data of its YAML file."""
    import keras_mtl
    from keras_mtl import _run
    from keras_mtl._config_file import read_config

    names = ("train", "valid", "test")
    if part not in names:
        raise ValueError(f"--part is {part!r}; expected one of {', '.join(names)}.")
    run = read_config(config)
    loaded = load(model or pathlib.Path(run.output.model))
    report = keras_mtl.evaluate(loaded, _run.load_data(run)[names.index(part)])
    typer.echo(str(report))
    if output:
        typer.echo(f"Report: {report.to_json(output)}")


@app.command()
def compare(
    config: ConfigFile,
    seeds: Annotated[int, typer.Option(help="Runs of every model.", min=1)] = 3,
    balancer: Annotated[list[str] | None, typer.Option(help="Further joint rows.")] = None,
    output: Annotated[pathlib.Path | None, typer.Option(help="A JSON file to write.")] = None,
    logs: Annotated[
        pathlib.Path | None, typer.Option(help="A folder for TensorBoard, which compares the runs.")
    ] = None,
) -> None:
    """Trains a model for each task and joint ones alike; tells what joint training is worth."""
    import keras_mtl
    from keras_mtl import _run
    from keras_mtl._config_file import read_config

    run = read_config(config)
    parts = _run.load_data(run)
    rows: dict[str, dict[str, Any]] = {name: {"balancer": name} for name in balancer or []}
    if run.training.loss_weights:
        rows["loss_weights"] = {"loss_weights": run.training.loss_weights}
    steps = run.training.epochs * -(-len(parts[0]) // run.training.batch_size)
    comparison = keras_mtl.compare(
        lambda names: _run.make_model(run, parts[0], names),
        parts[0],
        parts[2],
        valid=parts[1],
        rows=rows,
        optimizer=lambda: _run.make_optimizer(run, steps),
        epochs=run.training.epochs,
        batch_size=run.training.batch_size,
        seeds=range(seeds),
        progress=say,
        callbacks=None if logs is None else functools.partial(_watched, logs, rows),
    )
    typer.echo(f"\n{comparison}")
    if logs:
        typer.echo(f"Curves: tensorboard --logdir {logs}")
    if output:
        typer.echo(f"Report: {comparison.to_json(output)}")


def _watched(
    logs: pathlib.Path, rows: dict[str, dict[str, Any]], row: str, names: list[str], seed: int
) -> list[Any]:
    """TensorBoard's folder of one of the models that are compared."""
    from keras_mtl import callbacks

    told = {"row": row, "tasks": ", ".join(names), "seed": seed}
    told["balancer"] = rows.get(row, {}).get("balancer", "none")
    name = f"{row} {names[0]}" if len(names) == 1 else row
    return [callbacks.TensorBoard(logs / name / f"seed_{seed}", graph=False, hparams=told)]
