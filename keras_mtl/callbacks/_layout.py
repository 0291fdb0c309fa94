"""The layout of TensorBoard's page of custom scalars: one category a task."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_mtl.callbacks._balancing import MOST_PAIRED, pair_tags


def custom_scalars_layout(
    metrics: Mapping[str, Sequence[str]],
    balanced: Sequence[str] = (),
    seen: Sequence[str] = (),
) -> Any:
    """A `Summary` that tells TensorBoard which curves belong on one chart.

    Args:
        metrics: What is recorded of each task, such as `{"intent": ["loss", "accuracy"]}`.
        balanced: The tasks that a balancer weighs.
        seen: What it records of them, of "weights", "norms" and "cosines".
    """
    from tensorboard.plugins.custom_scalar import layout_pb2, summary

    def chart(title: str, tags: Sequence[str]) -> Any:
        patterns = [f"^{_literal(tag)}$" for tag in tags]
        return layout_pb2.Chart(
            title=title, multiline=layout_pb2.MultilineChartContent(tag=patterns)
        )

    trained = [task for task, names in metrics.items() if "loss" in names]
    categories = [
        layout_pb2.Category(
            title=task,
            chart=[
                *(chart(f"{task}: {name}", [f"{task}/{name}"]) for name in names),
                *(
                    chart(f"{task}: {name.replace('_', ' ')}", [f"{task}/{name}"])
                    for name in ("weighted_loss", "loss_weight")
                    if task in trained
                ),
                *(
                    chart(f"{task}: {name.replace('_', ' ')}", [f"{task}/{name}"])
                    for name, kind in (("balancer_weight", "weights"), ("gradient_norm", "norms"))
                    if task in balanced and kind in seen
                ),
            ],
        )
        for task, names in metrics.items()
    ]
    together = layout_pb2.Category(
        title="all tasks",
        chart=[
            chart("joint loss", ["loss"]),
            chart("losses", [f"{task}/loss" for task in trained]),
            chart("weighted losses", [f"{task}/weighted_loss" for task in trained]),
            chart("loss weights", [f"{task}/loss_weight" for task in trained]),
            chart("learning rate", ["learning_rate"]),
            *_of_gradients(chart, balanced, seen),
        ],
    )
    # The page opens at the top: the tasks first.
    return summary.pb(layout_pb2.Layout(category=[*categories, together]))


def _of_gradients(chart: Any, balanced: Sequence[str], seen: Sequence[str]) -> list[Any]:
    charts = []
    if "weights" in seen:
        charts.append(chart("balancer weights", [f"{task}/balancer_weight" for task in balanced]))
    if "cosines" in seen:
        charts.append(chart("conflicting steps", ["gradients/conflicting_steps"]))
    if "cosines" in seen and len(balanced) <= MOST_PAIRED:
        charts.append(chart("gradient cosines", list(pair_tags(list(balanced)))))
    return charts


def _literal(tag: str) -> str:
    """A pattern that matches this tag alone; the page takes tags as regular expressions."""
    return "".join(c if c.isalnum() or c in "_/" else f"\\{c}" for c in tag)
