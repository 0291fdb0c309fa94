"""How the model came about: what was run, with which versions, seed, optimizer and balancer."""

import json
from typing import Any

from keras_mtl.reporting._content import Block, Cell, Part, Section, Source, Table
from keras_mtl.reporting._subject import Subject


def section(subject: Subject) -> Section:
    """A table of facts, and the configuration where there is one."""
    model = subject.model
    facts: list[tuple[str, Any]] = [
        ("model", model.name),
        ("tasks", ", ".join(model.task_names)),
        ("balancer", type(model.balancer).__name__ if model.balancer else "none: fixed weights"),
        ("loss weights", model.loss_weights if model.compiled else None),
        ("optimizer", type(model.optimizer).__name__ if model.compiled else None),
    ]
    if subject.run is not None:
        about = subject.run.about
        data = about.get("data") or {}
        facts = [
            ("run", subject.run.name),
            ("status", subject.run.status),
            ("failure", about.get("failure")),
            ("created", about.get("created")),
            ("seconds of training", about.get("seconds")),
            ("epochs", about.get("epochs")),
            ("seed", about.get("seed")),
            ("command", " ".join(map(str, about.get("command") or []))),
            ("versions", about.get("versions")),
            ("data fingerprint", data.get("fingerprint")),
            ("export", about.get("export")),
            *facts,
        ]
    rows: list[list[Cell]] = [
        [name, _told(value)] for name, value in facts if value not in (None, "")
    ]
    blocks: list[Block] = [Table(["what", "value"], rows)]
    config = subject.run.config_file if subject.run is not None else None
    if config is not None:
        blocks.append(Source("Configuration", config.read_text(encoding="utf-8")))
    return Section("How it was made", "", [Part("", blocks)])


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_told(one)}" for name, one in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)
