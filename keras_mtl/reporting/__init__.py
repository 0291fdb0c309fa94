"""The report that people look at: one page of a model, a section a question.

A section is a file here with a function `section(subject) -> Section | None`: it reads what is known
of a model (`_subject.Subject`: its answers to labelled rows, history, run folder) and gives numbers
with names (`_content`), None where it has nothing to tell. `_html`, `_markdown` and the JSON file
draw the same content, so that they cannot disagree.

To add a section: one file with that function, and its line in `_sections.py`. To add a kind of block:
a class in `_content.py` and a function each in `_html_blocks.py` and `_markdown.py`.
"""

from keras_mtl.reporting._calibration import Reliability, reliability
from keras_mtl.reporting._report import report

__all__ = ["Reliability", "reliability", "report"]
