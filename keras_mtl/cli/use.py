"""Commands that use a trained model: `predict, export, serve`."""

import json
import pathlib
from typing import Annotated

import typer

from keras_mtl.cli._app import ModelFile, app, load, say


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

    loaded = load(model)
    loaded = loaded.task_model(task) if task else loaded
    for answer in answers(loaded, read_rows(loaded, inputs)):
        typer.echo(json.dumps(answer, ensure_ascii=False))


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
        load(model), folder, keep=keep, pixels=pixels, warm_up=warm_up or None
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
            say(f"Version {entry['version']}: {entry['state']} {entry['error']}".rstrip())
        say(f"REST:  {url}:{server.port}/v1/models/{model}")
        say(f"gRPC:  {url.removeprefix('http://')}:{server.grpc_port}")
        say(f"Page:  {url}:{server.port}/")
        server.wait()
        say("Stopping ...")
