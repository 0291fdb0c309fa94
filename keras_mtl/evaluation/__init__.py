"""How good a model is: task by task, and against a model for each task.

A report reads a model through its public properties (`tasks`, `task_names`, `predict_on_batch`)
and asks each task to score labels `(n, ...)` against served outputs `(n, ...)`; missing labels are
left out beforehand.
"""

from keras_mtl.evaluation.affinity import Affinity, gradient_cosines, task_affinity
from keras_mtl.evaluation.compare import Comparison, compare
from keras_mtl.evaluation.delta_m import delta_m
from keras_mtl.evaluation.grouping import Groups, group_tasks, suggest_groups
from keras_mtl.evaluation.report import Report, evaluate
from keras_mtl.evaluation.similarity import cka, hsic, rsa, similarities

__all__ = [
    "Affinity", "Comparison", "Groups", "Report", "cka", "compare", "delta_m", "evaluate",
    "gradient_cosines", "group_tasks", "hsic", "rsa", "similarities", "suggest_groups",
    "task_affinity",
]  # fmt: skip
