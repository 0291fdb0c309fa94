"""Tables for a terminal."""

from collections.abc import Sequence


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell; numbers to the right.

    >>> print(text_table(["task", "f1"], [["slots", "0.9"], ["a", "0.85"]]))
    task     f1
    -----------
    slots   0.9
    a      0.85
    """
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    right = [all(_numeric(row[i]) for row in rows if row[i]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(cells, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([line(head), rule, *(line(row) for row in rows)])


def _numeric(cell: str) -> bool:
    return cell.lstrip("+-").replace(".", "", 1).replace(" %", "").split(" ")[0].isdigit()
