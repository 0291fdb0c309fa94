"""What layers have learnt of the tasks, as tables that are written down and drawn."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Relation:
    """How each task stands to other tasks, or to what it shares with them.

    Attributes:
        values: `(R, C)`.
        rows: Names of the R rows, mostly tasks.
        columns: Names of the C columns: tasks, experts, layers.
    """

    values: np.ndarray
    rows: Sequence[str]
    columns: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """Everything in it as plain Python."""
        return {
            "rows": list(self.rows),
            "columns": list(self.columns),
            "values": [[float(v) for v in row] for row in self.values],
        }


class Relates:
    """A layer that can tell what it has learnt of its tasks."""

    def relations(self) -> Mapping[str, Relation]:
        """What it has learnt until now, by title, such as "gates"."""
        raise NotImplementedError


def relations(model: Any) -> dict[str, Relation]:
    """What a model's sharing schemes have learnt of the tasks: gates, correlations, mixtures.

    Args:
        model: A `MultiTaskModel`.

    Returns:
        Tables by title, such as "MMoE gates": how much each task uses of each expert, a mean over
        what it was trained on of late. Empty if no scheme of the model learns such a thing.

    Example:

    >>> import keras_mtl
    >>> from keras_mtl import encoders, sharing, tasks
    >>> model = keras_mtl.build_model(
    ...     encoders.Dense(features=3, units=[8]),
    ...     [tasks.Regression("north"), tasks.Regression("south")],
    ...     sharing.CrossStitch(units=(4,), self_weight=0.9),
    ... )
    >>> found = keras_mtl.evaluation.relations(model)["CrossStitch layer 1"]
    >>> found.rows, found.values.astype("float64").round(1).tolist()
    (['north', 'south'], [[0.9, 0.1], [0.1, 0.9]])
    """
    found: dict[str, Relation] = {}
    for layer in model.layers:
        if isinstance(layer, Relates):
            for title, relation in layer.relations().items():
                title = f"{type(layer).__name__} {title}"
                again = sum(one.split(" (")[0] == title for one in found)
                found[f"{title} ({again + 1})" if again else title] = relation
    return found
