"""How good a model is: task by task, and against a model for each task.

A report reads a model through its public properties (`tasks`, `task_names`, `predict_on_batch`)
and asks each task to score labels `(n, ...)` against served outputs `(n, ...)`; missing labels are
left out beforehand.
"""

from keras_mtl.evaluation.compare import Comparison, compare
from keras_mtl.evaluation.delta_m import delta_m
from keras_mtl.evaluation.report import Report, evaluate

__all__ = ["Comparison", "Report", "compare", "delta_m", "evaluate"]
