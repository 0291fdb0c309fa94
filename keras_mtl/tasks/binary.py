"""Yes or no, by itself or where another yes is presupposed."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._names import check_task_names
from keras_mtl.tasks._at_most import AtMost
from keras_mtl.tasks._classification import Classification, whole_ids
from keras_mtl.tasks._focal import binary_values
from keras_mtl.tasks._given import Given


@keras.saving.register_keras_serializable("keras_mtl")
class Binary(Classification):
    """A yes-or-no question: labels 0 and 1, served as the probability of 1, `(B, 1)`.

    A yes may presuppose another, as a purchase does a click. `Binary("purchase", given="click")`
    makes `P(click and purchase) = P(click) P(purchase | click)`: its layers learn the second
    factor, trained, judged and served is the product. Its labels are of all rows: 0, not missing,
    where nobody clicked. `P(purchase | click)` is the served purchase over the served click. The
    layers of "click" then learn from both. What is given may be given another.

    Ma, Zhao, Huang, Wang, Hu, Zhu and Gai, "Entire Space Multi-Task Model: An Effective Approach
    for Estimating Post-Click Conversion Rate", SIGIR 2018, arXiv:1804.07931.

    `Binary("purchase", at_most={"click": 0.6})` leaves the two chances apart and adds
    `0.6 mean(max(P(purchase) - P(click), 0))` to the joint loss: the behavioural expectation
    calibrator of Xi et al., KDD 2021, arXiv:2105.08489.

    Args:
        name: The task's name.
        classes: Names of the two classes, the negative one first.
        given: Name of the binary task that a yes presupposes.
        at_most: How much it counts, by name of binary tasks, where this one is said to be likelier.
        tower: The head's own layers, a `Tower` or units.
        label_smoothing: How far labels are drawn towards 1/2.
        focal_gamma: Above 0, the focal loss with that gamma (Lin et al., ICCV 2017).
        class_weight: "balanced", or a weight by class name or id.

    Raises:
        ValueError: If there are not two classes, an argument is out of range, or both `given` and
            `at_most` are there.
    """

    main_metric = "auc"

    def __init__(
        self,
        name: str,
        classes: Any = ("no", "yes"),
        *,
        given: str | None = None,
        at_most: Mapping[str, float] | None = None,
        **kwargs: Any,
    ):
        super().__init__(name, classes, **kwargs)
        if len(self.classes) != 2:
            raise ValueError(
                f"Binary task {name!r} has the classes {self.classes[:10]}; expected two, negative "
                "first; use tasks.MultiClass for more."
            )
        self.given = given
        self.at_most = _strengths(name, at_most)
        if given is not None and self.at_most:
            raise ValueError(
                f"Binary task {name!r} has given={given!r} and at_most={self.at_most}; expected one "
                "of them: `given` makes hold exactly what `at_most` asks for."
            )
        self.reads = tuple(self.at_most) if given is None else (given,)
        if self.reads:
            check_task_names(self.reads)
        if name in self.reads:
            raise ValueError(
                f"Binary task {name!r} names itself in `given` or `at_most`; expected another task."
            )

    def score_layers(self, hidden: Any) -> Any:
        return keras.layers.Dense(1, name=f"{self.name}_scores")(hidden)

    def with_others(self, scores: Any, others: Mapping[str, Any]) -> Any:
        if self.given is not None:
            return Given(name=f"{self.name}_given_{self.given}")(scores, others[self.given])
        for bound, strength in self.at_most.items():
            layer = AtMost(strength, name=f"{self.name}_at_most_{bound}")
            scores = layer(scores, others[bound])
        return scores

    def predictions(self, scores: Any, state: Mapping[str, Any], mask: Any = None) -> Any:
        return ops.sigmoid(scores)

    def loss_values(
        self, labels: Any, scores: Any, state: Mapping[str, Any], known: Any = None
    ) -> Any:
        labels = ops.reshape(ops.cast(labels, scores.dtype), ops.shape(scores))
        values = binary_values(
            labels, scores, gamma=self.focal_gamma, label_smoothing=self.label_smoothing
        )
        return ops.squeeze(self.weighted(values, labels, state), -1)

    def metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.BinaryAccuracy(name="accuracy"), keras.metrics.AUC(name="auc")]

    def for_metrics(self, labels: Any, served: Any, present: Any) -> tuple[Any, Any, Any]:
        shape = ops.shape(served)
        return ops.reshape(labels, shape), served, ops.reshape(present, shape)

    def score(self, y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
        from sklearn import metrics

        truth = whole_ids(y_true).reshape(-1)
        probability = np.asarray(y_pred, "float64").reshape(-1)
        decided = self.labels_from(y_pred)
        scores = {
            "accuracy": float(metrics.accuracy_score(truth, decided)),
            "f1": float(metrics.f1_score(truth == 1, decided == 1, zero_division=0.0)),
        }
        if len(set(truth)) == 2:
            scores["auc"] = float(metrics.roc_auc_score(truth == 1, probability))
            scores["average_precision"] = float(
                metrics.average_precision_score(truth == 1, probability)
            )
        else:
            # The area is not defined where one class alone is there.
            scores["auc"] = scores["average_precision"] = float("nan")
        return scores

    def labels_from(self, y_pred: np.ndarray) -> np.ndarray:
        return (np.asarray(y_pred).reshape(-1) > 0.5).astype("int64")

    def decide(self, served: Any) -> Any:
        return ops.cast(ops.squeeze(served, -1) > 0.5, "int32")

    def describe(self) -> dict[str, Any]:
        return {} if self.given is None else {"given": self.given}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "given": self.given, "at_most": dict(self.at_most)}


def _strengths(task: str, given: Any) -> dict[str, float]:
    """Checks `at_most`: None, or a positive strength by task."""
    if given is None:
        return {}
    fine = isinstance(given, Mapping) and all(
        isinstance(v, (int, float)) and np.isfinite(v) and v > 0 for v in given.values()
    )
    if not fine:
        raise ValueError(
            f"`at_most` of task {task!r} came as {given!r}; expected positive numbers by the names "
            "of other binary tasks, such as {'click': 0.6}."
        )
    return {str(name): float(strength) for name, strength in given.items()}
