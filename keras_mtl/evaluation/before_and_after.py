"""What further training did to each task."""

import pathlib
from collections.abc import Mapping
from typing import Any

from keras_mtl.evaluation._table import text_table
from keras_mtl.evaluation.report import Report, evaluate, write_json

_HEAD = ("task", "metric", "before", "after", "difference")


class BeforeAndAfter:
    """The metrics of each task before and after, and what changed; prints as a table.

    Attributes:
        before: `{task: {metric: value}}`.
        after: The same; a task or a metric may be in one of them alone.
        difference: `{task: {metric: after - before}}` of what is in both.
    """

    def __init__(
        self,
        before: Mapping[str, Mapping[str, float]],
        after: Mapping[str, Mapping[str, float]],
    ):
        self.before = {task: dict(found) for task, found in before.items()}
        self.after = {task: dict(found) for task, found in after.items()}
        self.difference = {
            task: {m: self.after[task][m] - v for m, v in found.items() if m in self.after[task]}
            for task, found in self.before.items()
            if task in self.after
        }

    def __getitem__(self, task: str) -> dict[str, float]:
        return self.difference[task]

    def __str__(self) -> str:
        return text_table(_HEAD, self._rows())

    def to_dict(self) -> dict[str, Any]:
        """Everything in it as plain Python; values that are not defined are None."""
        return {
            "before": Report(self.before).to_dict()["tasks"],
            "after": Report(self.after).to_dict()["tasks"],
            "difference": Report(self.difference).to_dict()["tasks"],
        }

    def to_json(self, path: Any) -> pathlib.Path:
        """Writes `to_dict` as a JSON file, whole or not at all.

        Raises:
            OSError: If the file cannot be written.
        """
        return write_json(self.to_dict(), path)

    def to_markdown(self) -> str:
        """The table in Markdown."""
        lines = ["| " + " | ".join(_HEAD) + " |", "| --- | --- | ---: | ---: | ---: |"]
        lines.extend("| " + " | ".join(row) + " |" for row in self._rows())
        return "\n".join(lines) + "\n"

    def _rows(self) -> list[list[str]]:
        rows = []
        for task in dict.fromkeys([*self.before, *self.after]):
            old, new = self.before.get(task, {}), self.after.get(task, {})
            for i, metric in enumerate(dict.fromkeys([*old, *new])):
                change = self.difference.get(task, {}).get(metric)
                rows.append(
                    [
                        task if i == 0 else "",
                        metric,
                        f"{old[metric]:.4f}" if metric in old else "",
                        f"{new[metric]:.4f}" if metric in new else "",
                        "" if change is None else f"{change:+.4f}",
                    ]
                )
        return rows


def before_and_after(
    before: Any, after: Any, data: Any = None, y: Any = None, *, batch_size: int = 64
) -> BeforeAndAfter:
    """Judges two models on the same data: what training on was worth to each task, and what it cost.

    Models made by `new_task` share their layers with the model that they come from, which is another
    one once they are trained: judge it first, and give its report as `before`.

    Args:
        before: A model, or the report that `evaluate` made of it.
        after: The same, of the model that was trained on.
        data: What models are judged by, as in `evaluate`.
        y: Labels by task name, where `data` is inputs.
        batch_size: Rows a batch, of what does not come in batches.

    Returns:
        A table that prints, and saves as JSON or Markdown.

    Raises:
        ValueError: If both are one model, there are no data to judge a model by, or the two have no
            task in common.
    """
    if before is after:
        raise ValueError(
            "`before` and `after` are one and the same; give the report that `evaluate` made before "
            "training as `before`."
        )
    if data is None and not (isinstance(before, Report) and isinstance(after, Report)):
        raise ValueError("`data` is missing; a model is judged by data, only reports need none.")
    found = [
        x if isinstance(x, Report) else evaluate(x, data, y, batch_size=batch_size)
        for x in (before, after)
    ]
    table = BeforeAndAfter(found[0].scores, found[1].scores)
    if not table.difference:
        raise ValueError(
            f"`before` tells of the tasks {list(table.before)} and `after` of {list(table.after)}; "
            "expected a task that is in both."
        )
    return table
