"""What the numbers of a served output mean, for whoever reads the SavedModel."""

from typing import Any


def label_table(model: Any) -> dict[str, dict[str, Any]]:
    """For each task its kind, and its classes, or its dimensions and units."""
    table: dict[str, dict[str, Any]] = {}
    for name in model.task_names:
        task = model.tasks.get(name)
        table[name] = {"kind": "other" if task is None else type(task).__name__}
        if task is None:
            continue
        if task.classes is not None:
            table[name]["classes"] = list(task.classes)
        else:
            table[name].update(task.describe())
    return table
