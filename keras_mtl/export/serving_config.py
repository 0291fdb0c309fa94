"""TF Serving's configuration of exported models, and the calls that they answer."""

import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from keras_mtl._extra import extra_module
from keras_mtl.export._batching_config import batching_config
from keras_mtl.export._calls import Served, write_calls
from keras_mtl.export._versions import versions
from keras_mtl.export._written import write_text

_METRICS = "/monitoring/prometheus/metrics"
_MODELS, _BATCHING, _MONITORING = "models.config", "batching.config", "monitoring.config"
_COMPOSE = "docker-compose.yml"


def serving_config(
    models: Any,
    out: Any,
    *,
    batching: Mapping[str, Any] | bool | None = None,
    monitoring: bool | str = True,
    image: str = "tensorflow/serving:latest",
    rows: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Writes all that the official TF Serving image needs to serve exported models.

    `models.config` names the models, `batching.config` tells how requests are joined,
    `monitoring.config` where Prometheus finds metrics, and `docker-compose.yml` starts the server
    on this machine alone: `docker compose up` in that folder. `CALLS.md` has the calls of these very
    models, by curl, grpcurl and Python, with example rows; `requests/` has bodies that are too long
    for a page, `serving.protoset` what grpcurl must know.

    Args:
        models: The folder of a model's versions, a folder of such folders, or a list of them. A
            model is called as its folder is.
        out: The folder to write to.
        batching: Fields of TF Serving's batching parameters that are to differ from the default;
            True for the default, False for none. None leaves it out where a model takes rows of free
            length, as TF Serving refuses requests that it joined and that differ in it.
        monitoring: Whether there are metrics, or the path that they are at.
        image: The image; name a version of it where a server must not change by itself.
        rows: Example rows for the calls, arrays by input name, by model; those of its warm-up
            requests by default, or made-up ones.

    Returns:
        `out`.

    Raises:
        ValueError: If there is no model, two have one name, or an argument is out of range.
        ImportError: If tensorflow-serving-api is not installed.
        OSError: If `out` cannot be written.
    """
    # Everything is made first, so that a fault leaves the files as they are.
    config = extra_module(
        "tensorflow_serving.config.model_server_config_pb2", "serve", "TF Serving's configuration"
    )
    found = _found(models)
    unknown = [name for name in rows or {} if name not in found]
    if unknown:
        raise ValueError(f"`rows` names the models {unknown}, but there are {list(found)}.")
    served = [
        Served.read(name, folder / str(_newest(folder)), (rows or {}).get(name))
        for name, folder in found.items()
    ]
    of_free_length = [model.name for model in served if model.of_free_length]
    if batching is None:
        batching = not of_free_length
    texts = {_MODELS: _models_config(config, found)}
    if batching is not False:
        texts[_BATCHING] = batching_config({} if batching is True else batching)
    path = _METRICS if monitoring is True else monitoring
    if path:
        texts[_MONITORING] = _monitoring_config(path)
    out = pathlib.Path(out)
    import yaml

    texts[_COMPOSE] = yaml.safe_dump(_compose(found, out, image, texts), sort_keys=False)
    out.mkdir(parents=True, exist_ok=True)
    for name in (_MODELS, _BATCHING, _MONITORING, _COMPOSE):
        if name in texts:
            write_text(out / name, texts[name])
        else:
            # Of an earlier call, which no longer holds.
            (out / name).unlink(missing_ok=True)
    write_calls(out, served, metrics=path or None, joined=batching is not False)
    return out


def _found(models: Any) -> dict[str, pathlib.Path]:
    """The folders of models by name."""
    if isinstance(models, (str, os.PathLike)):
        top = pathlib.Path(models)
        if not top.is_dir():
            raise ValueError(f"`models` is {str(top)!r}, where no folder is; export a model first.")
        inside = [p for p in sorted(top.iterdir()) if p.is_dir() and _newest(p)]
        folders = [top] if _newest(top) else inside
    elif isinstance(models, Iterable):
        folders = [pathlib.Path(p) for p in models]
    else:
        raise ValueError(f"`models` is {models!r}; expected a folder or a list of folders.")
    found: dict[str, pathlib.Path] = {}
    for folder in folders:
        folder = folder.resolve()
        if not folder.is_dir() or not _newest(folder):
            raise ValueError(
                f"{str(folder)!r} holds no version of a model; export one with export.saved_model."
            )
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", folder.name) or folder.name in found:
            raise ValueError(
                f"A model would be called {folder.name!r}, which "
                + ("two are" if folder.name in found else "is no name for an address")
                + "; give its folder another name, of letters, digits, '_', '-' and '.'."
            )
        found[folder.name] = folder
    if not found:
        raise ValueError(
            f"`models` is {models!r}, where no model is; export one with export.saved_model."
        )
    return found


def _newest(folder: pathlib.Path) -> int | None:
    """The newest version that is a SavedModel; digits alone do not make one."""
    there = [n for n in versions(folder) if (folder / str(n) / "saved_model.pb").is_file()]
    return there[-1] if there else None


def _models_config(config: Any, found: Mapping[str, pathlib.Path]) -> str:
    message = config.ModelServerConfig()
    for name in found:
        message.model_config_list.config.add(
            name=name, base_path=f"/models/{name}", model_platform="tensorflow"
        )
    from google.protobuf import text_format

    return str(text_format.MessageToString(message))


def _monitoring_config(path: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9_./-]*", str(path)):
        raise ValueError(
            f"`monitoring` is {path!r}; expected True, False or a path that begins with '/'."
        )
    return f'prometheus_config {{\n  enable: true\n  path: "{path}"\n}}\n'


def _compose(
    found: Mapping[str, pathlib.Path], out: pathlib.Path, image: str, files: Iterable[str]
) -> dict[str, Any]:
    told = {_MODELS: "model_config_file", _BATCHING: "batching_parameters_file"}
    told[_MONITORING] = "monitoring_config_file"
    command = [f"--{flag}=/config/{name}" for name, flag in told.items() if name in files]
    if _BATCHING in files:
        command.append("--enable_batching=true")
    mounts = {"/config": ".", **{f"/models/{n}": _from(out, p) for n, p in found.items()}}
    server = {
        "image": image,
        # On this machine alone: TF Serving asks nobody who they are.
        "ports": ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"],
        "command": command,
        "volumes": [
            {"type": "bind", "source": source, "target": target, "read_only": True}
            for target, source in mounts.items()
        ],
        "restart": "unless-stopped",
    }
    return {"services": {"tensorflow-serving": server}}


def _from(out: pathlib.Path, folder: pathlib.Path) -> str:
    """The way from the one folder to the other, so that both can be moved together."""
    try:
        way = os.path.relpath(folder, out.resolve())
    except ValueError:
        # On another drive.
        way = str(folder)
    way = pathlib.Path(way).as_posix()
    # Compose takes a dollar sign for a variable.
    return (way if way.startswith((".", "/")) else f"./{way}").replace("$", "$$")
