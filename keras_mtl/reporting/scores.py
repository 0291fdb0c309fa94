"""Every metric of every task, with its interval and what a guess would have."""

from keras_mtl.reporting._bootstrap import RESAMPLES
from keras_mtl.reporting._content import Block, Cell, Note, Part, Section, Table
from keras_mtl.reporting._subject import Subject


def section(subject: Subject) -> Section:
    """The table of tasks and metrics."""
    rows: list[list[Cell]] = []
    fewer: dict[str, int] = {}
    for name, scores in subject.report.scores.items():
        judged = subject.judged.get(name)
        found = subject.intervals.get(name, {})
        for i, (metric, value) in enumerate(scores.items()):
            interval = found.get(metric)
            if interval and 0 < interval.resamples < RESAMPLES:
                fewer[f"{name} {metric}"] = interval.resamples
            main = judged is not None and metric == judged.task.main_metric
            rows.append(
                [
                    name if i == 0 else "",
                    f"{metric} (main)" if main else metric,
                    value,
                    interval.range if interval else None,
                    judged.guess.get(metric) if judged else None,
                    subject.report.counts.get(name) if i == 0 else "",
                ]
            )
    for metric, value in subject.report.joint.items():
        rows.append(["(all tasks)", metric, value, None, None, ""])
    blocks: list[Block] = [
        Table(["task", "metric", "value", "95 % interval", "guess", "labels"], rows)
    ]
    if fewer:
        told = ", ".join(f"{what} ({n})" for what, n in fewer.items())
        blocks.append(Note(f"Resampled fewer times, since that takes long: {told}."))
    if subject.report.unseen:
        told = ", ".join(f"{task}: {n}" for task, n in subject.report.unseen.items())
        blocks.append(
            Note(f"Labels of classes that the task does not know, counted as errors: {told}.")
        )
    intro = (
        f"Intervals hold 95 % of {RESAMPLES:,} bootstrap resamples of the rows: another draw of as "
        "many rows would rarely give a value outside. A guess answers every row with the mean of "
        "the labels and looks at no input."
    )
    return Section("Scores", intro, [Part("", blocks)])
