"""What is learnt: one class a kind of task, each with its head, loss, metrics and score.

A task reads shared features, `(B, d)`, `(B, T, d)` or `(B, h, w, d)`, and gives one output under
its own name: probabilities `(B, C)` for classes, the target's own units `(B, D)` for numbers,
`(B, T, C)` for tags. It does not know who shared the features. Labels are class ids or numbers; a
missing one is -1 or NaN.

To add one: a file with a subclass of `Task`, a test file of the same name, one line here; the
contract tests in `tests/tasks/test_contract.py` find it by that line.
"""

from keras_mtl._prediction import Prediction
from keras_mtl.tasks._task import Task
from keras_mtl.tasks._tower import SequencePooling, Tower
from keras_mtl.tasks.binary import Binary
from keras_mtl.tasks.multi_class import MultiClass
from keras_mtl.tasks.multi_label import MultiLabel
from keras_mtl.tasks.ordinal import Ordinal
from keras_mtl.tasks.regression import Regression
from keras_mtl.tasks.sequence_tagging import SequenceTagging

__all__ = [
    "Binary", "MultiClass", "MultiLabel", "Ordinal", "Prediction", "Regression",
    "SequencePooling", "SequenceTagging", "Task", "Tower",
]  # fmt: skip
