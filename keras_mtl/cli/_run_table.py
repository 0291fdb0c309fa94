"""What `keras-mtl runs` shows: a row a run, or a column a run where runs differ."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from keras_mtl._run_files import Run
from keras_mtl._run_lock import is_locked
from keras_mtl.evaluation._table import text_table

NOTHING = "-"


def summary(run: Run) -> dict[str, Any]:
    """What is told of a run in a list, as plain Python; None where it is not known."""
    return {
        "path": str(run.path),
        "name": run.name,
        "status": _status(run),
        "epochs": run.about.get("epochs"),
        "seconds": run.about.get("seconds"),
        "created": run.about.get("created"),
        "seed": run.about.get("seed"),
        "balancer": _model(run).get("balancer"),
        "sharing": _sharing(run),
        "metrics": _main_metrics(run),
    }


def listed(runs: Sequence[Run]) -> str:
    """A table of runs, with the main metric of each task where they were judged."""
    told = [summary(run) for run in runs]
    metrics = list(dict.fromkeys(key for run in told for key in run["metrics"]))
    head = [
        "run",
        "status",
        "epochs",
        "seconds",
        *metrics,
        "balancer",
        "sharing",
        "seed",
        "created",
    ]
    rows = [
        [
            run["name"],
            run["status"],
            _text(run["epochs"]),
            NOTHING if run["seconds"] is None else f"{run['seconds']:.1f}",
            *(_text(run["metrics"].get(key)) for key in metrics),
            _text(run["balancer"]),
            _text(run["sharing"]),
            _text(run["seed"]),
            _text(run["created"]),
        ]
        for run in told
    ]
    return text_table(head, rows)


def compared(runs: Sequence[Run]) -> dict[str, Any]:
    """Where runs differ, and all their metrics, a list of one value a run for each key."""
    settings = [_settings(run) for run in runs]
    scores = [_scores(run) for run in runs]
    higher = [_higher_is_better(run) for run in runs]
    differences = _aligned(settings)
    return {
        "runs": [summary(run) for run in runs],
        "differences": {k: v for k, v in differences.items() if any(x != v[0] for x in v)},
        "metrics": _aligned(scores),
        "higher_is_better": {k: v for found in higher for k, v in found.items()},
    }


def compared_text(found: Mapping[str, Any]) -> str:
    """The tables of `compared`; the best value of each task's main metric is marked with *."""
    runs = found["runs"]
    names = [run["name"] for run in runs]
    if len(set(names)) < len(names):
        names = [run["path"] for run in runs]
    facts = {key: [run[key] for run in runs] for key in ("status", "epochs", "seconds")}
    lines = [text_table(["run", *names], [[k, *map(_text, v)] for k, v in facts.items()]), ""]
    differing = found["differences"]
    if differing:
        rows = [[key, *map(_text, values)] for key, values in differing.items()]
        lines += [text_table(["differs", *names], rows), ""]
    else:
        lines += ["Nothing that is kept of these runs differs.", ""]
    if found["metrics"]:
        rows = []
        for key, values in found["metrics"].items():
            best = _best(values, found["higher_is_better"].get(key))
            marked = [_text(v) + (" *" if v is not None and v == best else "") for v in values]
            rows.append([key, *marked])
        lines.append(text_table(["metric", *names], rows))
    else:
        lines.append("None of these runs was judged on test rows.")
    return "\n".join(lines)


def _status(run: Run) -> str:
    return "killed" if run.status == "running" and is_locked(run.path) is False else run.status


def _model(run: Run) -> dict[str, Any]:
    return run.about.get("model") or {}


def _configuration(run: Run) -> dict[str, Any]:
    if run.config_file is None:
        return {}
    import yaml

    try:
        told = yaml.safe_load(run.config_file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(
            f"{run.config_file} is not YAML ({error}); correct or delete it."
        ) from None
    return told if isinstance(told, dict) else {}


def _sharing(run: Run) -> str | None:
    told = _configuration(run)
    return str(told.get("sharing", "hard")) if told else None


def _main_metrics(run: Run) -> dict[str, float | None]:
    """The main metric of each task, `<task> <metric>`, of the test rows."""
    judged = (run.scores or {}).get("tasks", {})
    return {
        f"{name} {task['main_metric']}": judged.get(name, {}).get(task["main_metric"])
        for name, task in _model(run).get("tasks", {}).items()
        if task.get("main_metric") and name in judged
    }


def _higher_is_better(run: Run) -> dict[str, bool]:
    return {
        f"{name} {task['main_metric']}": task["higher_is_better"]
        for name, task in _model(run).get("tasks", {}).items()
        if task.get("main_metric")
    }


def _scores(run: Run) -> dict[str, float | None]:
    scores = run.scores or {}
    found = {
        f"{task} {metric}": value
        for task, metrics in scores.get("tasks", {}).items()
        for metric, value in metrics.items()
    }
    found.update({f"(all tasks) {m}": v for m, v in scores.get("joint", {}).items()})
    return found


def _settings(run: Run) -> dict[str, Any]:
    """Everything that may tell two runs apart, by dotted key."""
    about, model = run.about, _model(run)
    optimizer = model.get("optimizer") or {}
    configuration = {k: v for k, v in _configuration(run).items() if k != "output"}
    told = {
        "config": configuration,
        "seed": about.get("seed"),
        "versions": about.get("versions"),
        "data": (about.get("data") or {}).get("fingerprint"),
        "balancer": model.get("balancer"),
        "balancer_config": model.get("balancer_config"),
        "loss_weights": model.get("loss_weights"),
        "parameters": model.get("parameters"),
        "optimizer": optimizer.get("class_name"),
        "optimizer_config": optimizer.get("config"),
    }
    return _flat(told)


def _flat(content: Any, place: str = "") -> dict[str, Any]:
    """Nested dicts and lists by dotted key; a thing with a name (a task) by its name."""
    if isinstance(content, Mapping):
        items = [(str(key), value) for key, value in content.items()]
    elif isinstance(content, list) and content and all(isinstance(v, Mapping) for v in content):
        items = [(str(v.get("name", i)), v) for i, v in enumerate(content)]
    else:
        return {place: content}
    return {
        key: value
        for name, part in items
        for key, value in _flat(part, f"{place}.{name}" if place else name).items()
    }


def _aligned(found: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    keys = dict.fromkeys(key for one in found for key in one)
    return {key: [one.get(key) for one in found] for key in keys}


def _best(values: Sequence[float | None], higher: bool | None) -> float | None:
    there = [v for v in values if v is not None and math.isfinite(v)]
    if higher is None or len(there) < 2:
        return None
    return max(there) if higher else min(there)


def _text(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)[:40]
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.4g}"
