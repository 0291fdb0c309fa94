"""How one step goes: forward, the gradients that a balancer makes of it, and the optimizer's step."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import _gradients
from keras_mtl._by_name import by_task, inputs_in
from keras_mtl._combination import Terms, Whole
from keras_mtl._domains import telling
from keras_mtl._forward import NOTHING, Seen, judged, parts_of
from keras_mtl._graph import TaskGraph
from keras_mtl._losses import TaskLoss
from keras_mtl._optimizer_step import apply
from keras_mtl._soundness import Attempt, Soundness, states_of
from keras_mtl.joint import JointLoss


class Step:
    """The passes of a compiled model over a batch.

    Args:
        model: The model, for its inputs, names, added losses and optimizer.
        graph: What depends on what in it.
        joint: What becomes of its losses.
        losses: The loss of each trained task.
        soundness: What is done where one of them is not finite.

    Attributes:
        class_weight: Tables of weights by class id, of tasks that have one.
    """

    def __init__(
        self,
        model: Any,
        graph: TaskGraph,
        joint: JointLoss,
        losses: Mapping[str, TaskLoss],
        soundness: Soundness,
    ):
        self.model = model
        self.graph = graph
        self.joint = joint
        self.losses = losses
        self.soundness = soundness
        self.class_weight: Mapping[str, np.ndarray] = {}

    def take(
        self, data: Any, variables: Sequence[Any], multipliers: Mapping[int, float]
    ) -> list[tuple[Any, Seen]]:
        """One step of training on a batch.

        Args:
            data: What Keras hands to `train_step`.
            variables: What the optimizer moves.
            multipliers: Learning-rate multiplier by the `id` of a variable.

        Returns:
            For each part of the batch that the balancer tells apart its inputs, and what was seen.
        """
        balancer, optimizer = self.joint.balancer, self.model.optimizer
        parts = [data] if balancer is None else parts_of(data, balancer.parts)
        batches = [keras.utils.unpack_x_y_sample_weight(part) for part in parts]
        attempt = Attempt(
            functools.partial(self._worked_out, batches, variables),
            self._joint_of,
            states_of(self.model, self.joint),
            balancer,
        )
        gradients, found, taken = self.soundness.settle(attempt, optimizer)
        apply(optimizer, gradients, variables, multipliers, taken)
        if balancer is not None and balancer.needs_losses_after_step:
            after = self._terms(batches[0], left_out=found[0].left_out)
            balancer.after_step(*Whole.of([after])[:2])
        return [(x, seen) for (x, _, _), seen in zip(batches, found, strict=True)]

    def forward(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        *,
        training: bool,
        features: Any = None,
        left_out: Mapping[str, Any] = NOTHING,
    ) -> Seen:
        """A forward pass over labelled rows.

        Args:
            x: Inputs.
            y: Labels by task.
            sample_weight: Weights by task.
            training: Whether layers behave as in training.
            features: What tasks share, if it is known already.
            left_out: Booleans by task: whose labels are to be as if they were not there.
        """
        model = self.model
        labels = by_task("labels", y, model.label_names)
        weights = by_task("sample_weight", sample_weight, model.task_names)
        x = inputs_in(model._inputs_struct, x)
        with telling(labels):
            scores, served = self.graph.answers(model, x, training=training, features=features)
        # At once: sums over replicas let other replicas run, whose layers' losses would be found here.
        added = [model._aggregate_additional_loss(loss) for loss in model.losses]
        class_weight = self.class_weight if training else {}
        losses, counts = judged(
            self.losses, labels, scores, served, weights, class_weight, left_out
        )
        seen = Seen(labels, weights, served, losses, counts, added)
        return seen._replace(joint=self._joint_of(seen))

    def _joint_of(self, seen: Seen) -> Any:
        """The alpha-weighted joint loss with what layers add, `()`."""
        optimizer = self.model.optimizer
        joint = self.joint.total(seen.losses, 0 if optimizer is None else optimizer.iterations)
        return ops.sum([joint, *seen.added]) if seen.added else joint

    def _worked_out(
        self, batches: Sequence[Any], variables: Sequence[Any], left_out: Mapping[str, Any]
    ) -> tuple[list[Any], list[Seen]]:
        """The gradients of a step, and what each part of the batch showed."""
        if self.joint.balancer is not None:
            return self._balanced(batches, variables, left_out)

        def objective() -> tuple[Any, Any]:
            seen = self.forward(*batches[0], training=True, left_out=left_out)
            return self.model.optimizer.scale_loss(seen.joint), seen

        gradients, seen = _gradients.backward(objective, variables)
        return gradients, [seen]

    def _balanced(
        self, batches: Sequence[Any], variables: Sequence[Any], left_out: Mapping[str, Any]
    ) -> tuple[list[Any], list[Seen]]:
        def trunk() -> Any:
            x, y, _ = batches[0]
            with telling(by_task("labels", y, self.model.label_names)):
                return self.graph.features(inputs_in(self.model._inputs_struct, x), training=True)

        scale = self.model.optimizer.scale_loss(ops.ones((), "float32"))
        objectives = [functools.partial(self._terms, b, left_out=left_out) for b in batches]
        dense = self.graph.dense_layers()
        return _gradients.balanced(objectives, trunk, dense, variables, self.joint.balancer, scale)

    def _terms(self, batch: Any, features: Any = None, *, left_out: Mapping[str, Any]) -> Terms:
        seen = self.forward(*batch, training=True, features=features, left_out=left_out)
        losses = self.joint.weighted(seen.losses, self.model.optimizer.iterations)
        return Terms(losses, list(seen.counts.values()), seen.extra, seen)
