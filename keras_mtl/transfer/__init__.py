"""What becomes of a model that was trained: its layers kept, thawed bit by bit, or given small updates.

Everything here reads a model through its public properties (`layers`, `layers_of`, `task_names`,
`trainable_variables`, `optimizer`) and is told layers by name: "shared", a task for its own layers, a
layer's name, the end of its path ("trunk/stage_1*"), with `*`, `?` and `[...]`, or a list of those. A
name that stands for nothing is refused. `model.new_task` makes the model of a new task.

To add a method: a file with one function or one callback `(model, what, ...)`, a test file of the same
name, one line here.
"""

from keras_mtl.transfer.anil import adapted_head, anil_scores, fit_anil
from keras_mtl.transfer.episodes import Episode, Episodes
from keras_mtl.transfer.features import features_model
from keras_mtl.transfer.few_shot import FewShotAccuracy, few_shot_accuracy
from keras_mtl.transfer.freezing import freeze, unfreeze
from keras_mtl.transfer.gradual import Unfreeze
from keras_mtl.transfer.lora import enable_lora, merge_lora
from keras_mtl.transfer.prototypes import (
    PrototypicalHead,
    fit_prototypes,
    prototype_model,
    prototypical_scores,
)
from keras_mtl.transfer.rates import layer_wise_rates

__all__ = [
    "Episode",
    "Episodes",
    "FewShotAccuracy",
    "PrototypicalHead",
    "Unfreeze",
    "adapted_head",
    "anil_scores",
    "enable_lora",
    "features_model",
    "few_shot_accuracy",
    "fit_anil",
    "fit_prototypes",
    "freeze",
    "layer_wise_rates",
    "merge_lora",
    "prototype_model",
    "prototypical_scores",
    "unfreeze",
]
