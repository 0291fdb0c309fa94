"""What every fairness loss is: a layer that a task's scores pass as they are, and that adds a loss."""

import abc
from typing import Any

import keras
from keras import ops

from keras_mtl._domains import AsksForDomains, told
from keras_mtl.alignment._pairs import mean_over_pairs

CRITERIA = ("demographic_parity", "equalized_odds", "equal_opportunity")


class ScoreDistance(keras.layers.Layer, AsksForDomains, abc.ABC):
    """Draws the distributions of a task's scores in the groups together; write `distance`.

    Scores leave as they came. While the model trains on rows whose group is among their labels,
    `strength` times the mean distance of two groups is added to the joint loss, over those pairs of
    which both have two rows or more in the batch; where the model is served, nothing happens.

    Args:
        sensitive: The label that tells a row's group: integers from 0, -1 where it is not known.
        groups: How many groups there are.
        strength: Of the distance in the joint loss; 0 leaves the model as it is without.
        criterion: "demographic_parity" compares all rows, labelled or not; "equalized_odds" rows of
            the same label, for each label (Binary, MultiClass, Ordinal); "equal_opportunity" rows of
            label 1 (Binary).
        task: The task whose scores they are; `build_model` tells it.
        classes: How many classes the task has, 0 where it has none; `build_model` tells it.

    Raises:
        ValueError: If an argument is not one of these.
    """

    def __init__(
        self,
        sensitive: str,
        groups: int = 2,
        strength: float = 1.0,
        criterion: str = "demographic_parity",
        task: str = "",
        classes: int = 0,
        **kwargs: Any,
    ):
        # Scores leave in the dtype in which they came.
        super().__init__(autocast=False, **kwargs)
        kind = f"fairness.{type(self).__name__}"
        if not isinstance(sensitive, str) or not sensitive:
            raise ValueError(
                f"`sensitive` of {kind} is {sensitive!r}; expected the name of the label that tells "
                "each row's group, such as 'sex'."
            )
        if isinstance(groups, bool) or int(groups) != groups or groups < 2:
            raise ValueError(
                f"`groups` of {kind} is {groups!r}; expected how many groups {sensitive!r} has, a "
                "whole number of at least 2."
            )
        if not 0 <= strength < float("inf"):
            raise ValueError(
                f"`strength` of {kind} is {strength!r}; expected a finite number that is not negative."
            )
        if criterion not in CRITERIA:
            raise ValueError(
                f"`criterion` of {kind} is {criterion!r}; expected one of {list(CRITERIA)}."
            )
        self.sensitive = self.domain = sensitive
        self.groups = self.domains = int(groups)
        self.strength = float(strength)
        self.criterion = criterion
        self.task = task
        self.classes = int(classes)
        self.supports_masking = True

    def connect(self, scores: Any, task: Any) -> Any:
        """The same raw scores of a task, `(B, ...)`, compared between the groups.

        Raises:
            ValueError: If it was connected to another task before, or the task's labels do not go
                with the criterion.
        """
        kind = f"fairness.{type(self).__name__}"
        if self.task and self.task != task.name:
            raise ValueError(
                f"This {kind} is of task {self.task!r} and cannot also be of {task.name!r}; make a new "
                "one for each."
            )
        if task.keeps_positions:
            raise ValueError(
                f"Task {task.name!r} answers every position of a sequence, but {kind} compares one "
                "answer a row; leave the task out of `fairness`."
            )
        classes = 0 if task.classes is None or task.elementwise else len(task.classes)
        binary = classes == 2
        if self.criterion == "equal_opportunity" and not binary:
            raise ValueError(
                f"`criterion` of {kind} is 'equal_opportunity', which compares rows of label 1, but "
                f"task {task.name!r} does not have two classes; use 'demographic_parity'."
            )
        if self.criterion == "equalized_odds" and not classes:
            raise ValueError(
                f"`criterion` of {kind} is 'equalized_odds', which compares rows of one class, but "
                f"task {task.name!r} has not one class a row; use 'demographic_parity'."
            )
        self.task, self.classes = task.name, classes
        # As the layers of a head are named.
        self.name = f"{task.name}_{self.criterion}_of_{self.sensitive}"
        return self(scores)

    @abc.abstractmethod
    def distance(self, x: Any, y: Any, x_weights: Any, y_weights: Any) -> Any:
        """How far two groups of scores are apart, `(P,)`, in each of P comparisons.

        Args:
            x: `(B, d)`, scores in float32.
            y: `(B, d)`.
            x_weights: `(P, B)`, 1 where a row of `x` takes part and 0 where it does not.
            y_weights: `(P, B)`, likewise.
        """

    def call(self, scores: Any, training: bool | None = None) -> Any:
        groups = told(self.sensitive)
        conditional = self.criterion != "demographic_parity"
        labels = told(self.task) if conditional else None
        # Without the labels that it goes by, or at strength 0, there is nothing to add.
        if not training or not self.strength or groups is None or (conditional and labels is None):
            return scores
        rows = ops.reshape(ops.cast(scores, "float32"), (-1, scores.shape[-1]))
        groups = ops.reshape(ops.cast(groups, "int32"), (-1,))
        strata = self._strata(labels) if conditional else None
        self.add_loss(
            self.strength * mean_over_pairs(self.distance, rows, groups, self.groups, strata)
        )
        return scores

    def _strata(self, labels: Any) -> Any:
        """1 where a row has one of the labels that are compared, `(S, B)`; missing ones have none."""
        compared = [1] if self.criterion == "equal_opportunity" else list(range(self.classes))
        each = ops.expand_dims(ops.convert_to_tensor(compared, "float32"), 1)
        labels = ops.reshape(ops.cast(labels, "float32"), (1, -1))
        return ops.cast(ops.equal(each, labels), "float32")

    def compute_output_shape(self, scores_shape: Any) -> Any:
        return scores_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "sensitive": self.sensitive,
            "groups": self.groups,
            "strength": self.strength,
            "criterion": self.criterion,
            "task": self.task,
            "classes": self.classes,
        }
