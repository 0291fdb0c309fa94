"""What a threshold buys: precision over recall of each class."""

import numpy as np

from keras_mtl.reporting._content import Block, Cell, Chart, Note, Part, Section, Series, Table
from keras_mtl.reporting._judged import Judged, Kind
from keras_mtl.reporting._subject import Subject

LINES = 6
_CLASSES = 30
_POINTS = 120


def section(subject: Subject) -> Section | None:
    """Curves and average precisions of each task with classes."""
    parts = [
        Part(one.name, blocks)
        for one in subject.detailed
        if one.kind in (Kind.YES_NO, Kind.ONE_CLASS, Kind.CLASSES) and (blocks := _blocks(one))
    ]
    if not parts:
        return None
    intro = (
        "The share of what is marked that is right (precision), for every share of what is there "
        "that is found (recall), as the threshold falls. Of several classes, each against all "
        "others. Average precision is the area below; of marks by chance it is the class's share "
        "of the rows." + subject.left_out
    )
    return Section("Precision and recall", intro, parts)


def one_against_others(judged: Judged) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By class with labels of both kinds, whether it is true `(m,)` and its chance `(m,)`."""
    found = {}
    for i, name in enumerate(judged.classes):
        if judged.kind is Kind.YES_NO:
            if i == 0:
                continue
            there, yes, chances = judged.ids != -1, judged.ids == 1, judged.chances
        elif judged.kind is Kind.CLASSES:
            there, yes = judged.ids[:, i] != -1, judged.ids[:, i] == 1
            chances = judged.chances[:, i]
        else:
            there, yes, chances = judged.ids != -1, judged.ids == i, judged.chances[:, i]
        if yes[there].any() and not yes[there].all():
            found[name] = (yes[there], chances[there])
    return found


def _blocks(judged: Judged) -> list[Block]:
    from sklearn.metrics import average_precision_score

    classes = one_against_others(judged)
    if not classes:
        return [Note("No class has rows of both kinds, so there is no curve.")]
    areas = {n: float(average_precision_score(yes, p)) for n, (yes, p) in classes.items()}
    worst_first = sorted(areas, key=lambda name: areas[name])
    drawn = [name for name in classes if name in worst_first[:LINES]]
    series = [_curve(name, *classes[name]) for name in drawn]
    blocks: list[Block] = [
        Chart("Precision over recall", "recall", "precision", series, (0, 1), (0, 1))
    ]
    listed = worst_first[:_CLASSES]
    rows: list[list[Cell]] = [
        [name, areas[name], float(classes[name][0].mean()), int(classes[name][0].sum())]
        for name in classes
        if name in listed
    ]
    blocks.append(Table(["class", "average precision", "share of rows", "rows"], rows))
    told = []
    if len(drawn) < len(classes):
        told.append(f"Drawn are the {LINES} classes of least average precision.")
    if len(listed) < len(classes):
        told.append(f"Listed are the {_CLASSES} of least, of {len(classes)}.")
    without = len(judged.classes) - len(classes) - (judged.kind is Kind.YES_NO)
    if without:
        told.append(f"{without} of {len(judged.classes)} classes have no rows to draw a curve of.")
    if told:
        blocks.append(Note(" ".join(told)))
    return blocks


def _curve(name: str, yes: np.ndarray, chances: np.ndarray) -> Series:
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(yes, chances)
    kept = np.unique(np.linspace(0, len(recall) - 1, min(len(recall), _POINTS)).round().astype(int))
    return Series(name, recall[kept].tolist(), precision[kept].tolist())
