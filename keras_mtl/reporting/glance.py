"""Each task in a sentence that needs no statistics."""

import math
from collections.abc import Callable

from keras_mtl.reporting._bootstrap import Interval
from keras_mtl.reporting._content import Note, Part, Section, Table, shown
from keras_mtl.reporting._judged import Judged, Kind
from keras_mtl.reporting._subject import Subject

BETTER, UNSURE, WORSE = (
    "better than a guess",
    "not surely better than a guess",
    "worse than a guess",
)


def section(subject: Subject) -> Section:
    """A row a task: verdict and sentence."""
    rows: list[list[str]] = []
    for name in subject.model.task_names:
        judged = subject.judged.get(name)
        if judged is None:
            why = (
                "described by no task object, so judged by its compiled metrics alone"
                if name not in subject.model.tasks
                else "no label of it in these rows"
            )
            rows.append([name, "not judged", why])
        else:
            interval = subject.intervals[name].get(judged.task.main_metric)
            rows.append([name, verdict(judged, interval), sentence(judged)])
    better = sum(row[1] == BETTER for row in rows)
    told = f"{subject.rows:,} rows were asked. {_tasks(better, len(rows))}"
    if subject.comparison is not None:
        told += f" {subject.comparison.verdict}"
    return Section(
        "At a glance", "", [Part("", [Note(told), Table(["task", "verdict", "in words"], rows)])]
    )


def _tasks(better: int, every: int) -> str:
    """How many tasks are better than a guess.

    >>> _tasks(2, 2), _tasks(0, 1)
    ('All 2 tasks are better than a guess.', 'The task is not surely better than a guess.')
    """
    if every == 1:
        return f"The task is {BETTER if better else UNSURE}."
    if better == every:
        return f"All {every} tasks are {BETTER}."
    return f"{better} of {every} tasks are {BETTER}."


def verdict(judged: Judged, interval: Interval | None) -> str:
    """Whether a task's main metric is better than that of an answer that looks at no input."""
    guess = judged.guess.get(judged.task.main_metric, math.nan)
    if interval is None or interval.range is None or not math.isfinite(guess):
        return "too few rows to tell" if judged.kind is not Kind.OTHER else "see its scores"
    low, high = interval.range
    if not judged.task.higher_is_better:
        low, high, guess = -high, -low, -guess
    return BETTER if low > guess else WORSE if high < guess else UNSURE


def sentence(judged: Judged) -> str:
    """What the scores mean, in plain words."""
    needed, words = _WORDS[judged.kind]
    # A task of a user's own may answer like one of ours and be scored by other metrics.
    return words(judged) if needed <= set(judged.scores) else _other(judged)


def _in_hundred(share: float) -> str:
    """A share as a number of a hundred, with a decimal near both ends.

    >>> [_in_hundred(share) for share in (0.456, 0.987, 1.0)]
    ['46 of 100', '98.7 of 100', '100 of 100']
    """
    number = 100 * share
    digits = 1 if (number > 95 or number < 5) and number not in (0, 100) else 0
    return f"{number:.{digits}f} of 100"


def _yes_no(judged: Judged) -> str:
    scores, guess = judged.scores, judged.guess
    told = (
        f"Right in {_in_hundred(scores['accuracy'])} rows; always the more frequent answer would be "
        f"in {_in_hundred(guess['accuracy'])}."
    )
    area = scores.get("auc", math.nan)
    if math.isfinite(area):
        told += (
            f" Of a {judged.classes[1]!r} and a {judged.classes[0]!r}, it gives the first the higher "
            f"chance {_in_hundred(area)} times (50 by chance)."
        )
    return told


def _one_class(judged: Judged) -> str:
    scores, guess = judged.scores, judged.guess
    told = (
        f"Right in {_in_hundred(scores['accuracy'])} rows; always the same class would be in "
        f"{_in_hundred(guess['accuracy'])}."
    )
    if judged.task.main_metric == "mae":
        told += (
            f" Off by {shown(scores['mae'])} levels on average (a guess: {shown(guess['mae'])})."
        )
    return told


def _classes(judged: Judged) -> str:
    return (
        f"Right in {_in_hundred(judged.scores['accuracy'])} single answers (a guess: "
        f"{_in_hundred(judged.guess['accuracy'])}); F1 {shown(judged.scores['macro_f1'])}, the mean "
        "over classes."
    )


def _numbers(judged: Judged) -> str:
    scores, guess = judged.scores, judged.guess
    units = f" {judged.units}" if judged.units else ""
    told = (
        f"Off by {shown(scores['mae'])}{units} on average; always the mean would be by "
        f"{shown(guess['mae'])}{units}."
    )
    if math.isfinite(scores.get("r2", math.nan)):
        share = f"{100 * scores['r2']:.0f} %" if scores["r2"] > 0.005 else "nothing"
        told += f" It explains {share} of the variance."
    return told


def _tags(judged: Judged) -> str:
    scores = judged.scores
    return (
        f"Finds {_in_hundred(scores['recall'])} spans, and {_in_hundred(scores['precision'])} that "
        f"it marks are right (F1 {shown(scores['f1'])}); every tag is right in "
        f"{_in_hundred(scores['sequence_accuracy'])} rows."
    )


def _other(judged: Judged) -> str:
    main = judged.task.main_metric
    return f"{main} {shown(judged.scores.get(main))}."


_WORDS: dict[Kind, tuple[set[str], Callable[[Judged], str]]] = {
    Kind.YES_NO: ({"accuracy"}, _yes_no),
    Kind.ONE_CLASS: ({"accuracy"}, _one_class),
    Kind.CLASSES: ({"accuracy", "macro_f1"}, _classes),
    Kind.NUMBERS: ({"mae"}, _numbers),
    Kind.TAGS: ({"f1", "precision", "recall", "sequence_accuracy"}, _tags),
    Kind.OTHER: (set(), _other),
}
