"""Tuning: which model, and which way to train it, is best for one task or another.

`keras_mtl.tune` trains one model a trial and keeps the Pareto front; every task is an objective.
What may be tried is a dict of `Float`, `Int`, `Choice` and `Simplex`; the study is Optuna's (extra
`tune`), in memory or in a database that processes and machines share.

To add a kind of parameter: a final subclass of `space.Parameter`, and a line here.
"""

from keras_mtl.tuning.front import best_of, pareto_front
from keras_mtl.tuning.pruning import Pruning
from keras_mtl.tuning.result import Trial, Tuning
from keras_mtl.tuning.space import Choice, Float, Int, Simplex
from keras_mtl.tuning.tune import tune

__all__ = [
    "Choice", "Float", "Int", "Pruning", "Simplex", "Trial", "Tuning", "best_of", "pareto_front",
    "tune",
]  # fmt: skip
