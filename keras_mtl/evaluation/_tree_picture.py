"""A tree of tasks as a picture: layers from above, and who shares them."""

from collections.abc import Mapping, Sequence

from keras_mtl.evaluation._svg import LETTER, picture, text

_ROW, _BOX, _GAP = 64, 30, 12


def tree_picture(
    groups: Mapping[str, Sequence[Sequence[str]]], title: str, notes: Sequence[str] = ()
) -> str:
    """A box for each group of each layer, a line to the group of the layer before that it is of.

    Args:
        groups: By layer, from the first on: a partition of the tasks, each at least as fine as the
            one before.
        title: Above the picture.
        notes: Lines below it.
    """
    layers = list(groups.items())
    order = _order([partition for _, partition in layers])
    place = {task: i for i, task in enumerate(order)}
    column = LETTER * max(len(task) for task in order) + 2 * _GAP
    left = 24 + LETTER * max(len(name) for name in groups)
    below = 48 + _ROW * len(layers)
    width = max(left + column * len(order) + 12, LETTER * max(map(len, [title, *notes])) + 24)
    parts: list[str] = []
    above: dict[str, int] = {}
    for row, (name, partition) in enumerate(layers):
        y = 48 + _ROW * row
        parts.append(text(left - 12, y + _BOX // 2 + 4, name, "end"))
        for group in sorted(partition, key=lambda group: min(place[task] for task in group)):
            # Nested groups are side by side in the order of the last layer.
            first, last = (pick(place[task] for task in group) for pick in (min, max))
            x, wide = left + column * first, column * (last - first + 1) - _GAP
            middle = x + wide // 2
            if row > 0:
                parts.append(
                    f'<line x1="{above[group[0]]}" y1="{y - _ROW + _BOX}" x2="{middle}" y2="{y}" '
                    'stroke="black"/>'
                )
            parts += [
                f'<rect class="node" x="{x}" y="{y}" width="{wide}" height="{_BOX}" rx="4" '
                'fill="rgb(214,230,244)" stroke="black"/>',
                text(middle, y + _BOX // 2 + 4, ", ".join(_in(order, group)), "middle"),
            ]
            above.update(dict.fromkeys(group, middle))
    for n, line in enumerate(notes):
        parts.append(text(12, below + 20 * n, line, "start"))
    return picture(width, below + 20 * len(notes), title, parts)


def _order(partitions: Sequence[Sequence[Sequence[str]]]) -> list[str]:
    """The tasks in an order in which every group of every layer is in one piece."""
    path: dict[str, tuple[int, ...]] = {task: () for group in partitions[0] for task in group}
    for partition in partitions:
        for i, group in enumerate(partition):
            path.update({task: (*path[task], i) for task in group})
    return sorted(path, key=lambda task: path[task])


def _in(order: Sequence[str], group: Sequence[str]) -> list[str]:
    return [task for task in order if task in group]
