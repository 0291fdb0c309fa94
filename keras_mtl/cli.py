"""The command line: `keras-mtl demo, train, evaluate, predict, compare, export, serve`."""

import json
import os
import pathlib
import sys
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

    _say("Training single-task and joint models on scikit-learn's digits ...")
    comparison = keras_mtl.compare(
        build, train, test, valid=valid, epochs=epochs, seeds=range(seeds), progress=_say
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
def train(config: ConfigFile) -> None:
    """Trains the model of a YAML file; writes model, logs, report and export as it says."""
    import keras

    import keras_mtl
    from keras_mtl import _run
    from keras_mtl._config_file import read_config

    run = read_config(config)
    keras.utils.set_random_seed(run.training.seed)
    parts = _run.load_data(run)
    model = _run.make_model(run, parts[0])
    _run.fit(run, model, parts[0], parts[1])
    report = keras_mtl.evaluate(model, parts[2])
    typer.echo(f"\nTest rows: {len(parts[2])}\n{report}\n")
    path = pathlib.Path(run.output.model)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    typer.echo(f"Model:      {path}")
    if run.output.report:
        typer.echo(f"Report:     {report.to_json(run.output.report)}")
    if run.output.export:
        typer.echo(f"SavedModel: {keras_mtl.export.saved_model(model, run.output.export)}")
    if run.output.logs:
        typer.echo(f"Curves:     tensorboard --logdir {run.output.logs}")


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
    loaded = _load(model or pathlib.Path(run.output.model))
    report = keras_mtl.evaluate(loaded, _run.load_data(run)[names.index(part)])
    typer.echo(str(report))
    if output:
        typer.echo(f"Report: {report.to_json(output)}")


@app.command()
def predict(
    model: ModelFile,
    inputs: Annotated[
        pathlib.Path, typer.Argument(help="Rows: .csv, .jsonl, or .txt with one text a line.")
    ],
    task: Annotated[str | None, typer.Option(help="One task alone, which is cheaper.")] = None,
) -> None:
    """Answers rows of a file; prints one JSON object a row."""
    from keras_mtl._answers import answers, read_rows

    loaded = _load(model)
    loaded = loaded.task_model(task) if task else loaded
    for answer in answers(loaded, read_rows(loaded, inputs)):
        typer.echo(json.dumps(answer, ensure_ascii=False))


@app.command()
def compare(
    config: ConfigFile,
    seeds: Annotated[int, typer.Option(help="Runs of every model.", min=1)] = 3,
    balancer: Annotated[list[str] | None, typer.Option(help="Further joint rows.")] = None,
    output: Annotated[pathlib.Path | None, typer.Option(help="A JSON file to write.")] = None,
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
        progress=_say,
    )
    typer.echo(f"\n{comparison}")
    if output:
        typer.echo(f"Report: {comparison.to_json(output)}")


@app.command()
def export(
    model: ModelFile,
    folder: Annotated[pathlib.Path, typer.Argument(help="The folder of the model's versions.")],
    keep: Annotated[int | None, typer.Option(help="How many versions to keep.", min=1)] = None,
    pixels: Annotated[
        tuple[float, float] | None,
        typer.Option(help="What black and white are in the data, to serve image files too."),
    ] = None,
    warm_up: Annotated[
        bool, typer.Option(help="Let servers answer made-up rows before they take clients.")
    ] = False,
) -> None:
    """Writes the next version of a model as a SavedModel for TF Serving."""
    import keras_mtl

    version = keras_mtl.export.saved_model(
        _load(model), folder, keep=keep, pixels=pixels, warm_up=warm_up or None
    )
    typer.echo(str(version))


@app.command()
def serve(
    folder: Annotated[pathlib.Path, typer.Argument(help="The folder of the model's versions.")],
    port: Annotated[int, typer.Option(help="REST's port; 0 takes a free one.", min=0)] = 8501,
    grpc_port: Annotated[int, typer.Option(help="gRPC's port; 0 takes a free one.", min=0)] = 8500,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(help="A bearer token to ask for.", envvar="KERAS_MTL_TOKEN", show_envvar=True),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The model's name; the folder's if none.")
    ] = None,
    batching: Annotated[bool, typer.Option(help="Let requests share calls of the model.")] = True,
) -> None:
    """Answers requests over REST and gRPC as TF Serving does; for development.

    A new version in the folder is taken up as it appears. Ctrl-C and SIGTERM end it when the
    requests under way are answered.
    """
    from keras_mtl.serving import Server

    server = Server(
        folder, name=name, host=host, port=port, grpc_port=grpc_port, token=token, batching=batching
    )
    with server:
        url = f"http://[{host}]" if ":" in host else f"http://{host}"
        model = server.repository.name if server.repository else ""
        for entry in server.repository.status() if server.repository else []:
            _say(f"Version {entry['version']}: {entry['state']} {entry['error']}".rstrip())
        _say(f"REST:  {url}:{server.port}/v1/models/{model}")
        _say(f"gRPC:  {url.removeprefix('http://')}:{server.grpc_port}")
        _say(f"Page:  {url}:{server.port}/")
        server.wait()
        _say("Stopping ...")


def main() -> None:
    """Runs the command line; a fault of the user's is one message and exit code 1."""
    try:
        app()
    except (ValueError, TypeError, OSError, ImportError) as error:
        if os.environ.get("KERAS_MTL_DEBUG"):
            raise
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)


def _load(path: pathlib.Path) -> Any:
    import keras

    import keras_mtl  # noqa: F401 (registers the layers that the file names)

    if not path.is_file():
        raise ValueError(f"There is no model file {str(path)!r}; train one with `keras-mtl train`.")
    return keras.models.load_model(path)


def _say(line: str) -> None:
    typer.echo(line, err=True)
