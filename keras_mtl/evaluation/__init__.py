"""How good a model is: task by task, and against a model for each task.

A report reads a model through its public properties (`tasks`, `task_names`, `predict_on_batch`)
and asks each task to score labels `(n, ...)` against served outputs `(n, ...)`; missing labels are
left out beforehand.
"""

from keras_mtl._relations import Relation, relations
from keras_mtl.evaluation._branches import Branches
from keras_mtl.evaluation.affinity import Affinity, gradient_cosines, task_affinity
from keras_mtl.evaluation.before_and_after import BeforeAndAfter, before_and_after
from keras_mtl.evaluation.branching import branch_tasks, suggest_branches
from keras_mtl.evaluation.compare import Comparison, compare
from keras_mtl.evaluation.delta_m import delta_m
from keras_mtl.evaluation.explanation import Explanation, explain
from keras_mtl.evaluation.fairness import ByGroup
from keras_mtl.evaluation.grouping import Groups, group_tasks, suggest_groups
from keras_mtl.evaluation.report import Report, evaluate
from keras_mtl.evaluation.similarity import cka, hsic, rsa, similarities

__all__ = [
    "Affinity", "BeforeAndAfter", "Branches", "ByGroup", "Comparison", "Explanation", "Groups", "Relation",
    "Report", "before_and_after", "branch_tasks", "cka", "compare", "delta_m", "evaluate", "explain",
    "gradient_cosines", "group_tasks", "hsic", "relations", "rsa", "similarities",
    "suggest_branches", "suggest_groups", "task_affinity",
]  # fmt: skip
