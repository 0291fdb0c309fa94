"""Learning to branch: a tree of layers whose branches are learnt with the weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl._relations import Relates, Relation
from keras_mtl.sharing._experts import side_by_side, softmax
from keras_mtl.sharing._layered import Layered
from keras_mtl.sharing._towers import at_least_one

Schedule: Any = keras.optimizers.schedules.LearningRateSchedule

# A schedule may end at 0, by which nothing can be divided.
_LEAST = 1e-4


def gumbel_softmax(logits: Any, noise: Any, temperature: Any) -> Any:
    """A draw of one of N, relaxed: shares that near a draw as the temperature nears 0.

    `softmax((logits + noise) / temperature)`, with noise of the Gumbel distribution; whatever the
    temperature, the i-th share is the greatest with the probability `softmax(logits)_i`.

    Jang, Gu and Poole, "Categorical Reparameterization with Gumbel-Softmax", ICLR 2017,
    arXiv:1611.01144; Maddison, Mnih and Teh, "The Concrete Distribution", ICLR 2017,
    arXiv:1611.00712.

    Args:
        logits: `(..., N)`.
        noise: The same shape.
        temperature: `()`, above 0.
    """
    return softmax((logits + noise) / temperature)


def gumbel_noise(shape: Sequence[int], seed: keras.random.SeedGenerator) -> Any:
    """Draws of the standard Gumbel distribution, in float32."""
    # Short of 0 and 1, where the noise has no end.
    drawn = keras.random.uniform(shape, 1e-6, 1 - 1e-6, dtype="float32", seed=seed)
    return -ops.log(-ops.log(drawn))


@keras.saving.register_keras_serializable("keras_mtl")
class LTB(Layered, Relates):
    """Learns which layers tasks share: each layer, and each task, chooses whom of the last to read.

    Each layer has several nodes, dense layers side by side. Those of the first read the features;
    a node of any other, and each task in the end, reads one node of the layer before, which makes
    the nodes that tasks read a tree. In training a choice among nodes y_i is drawn, for a batch at
    a time, and relaxed so that it learns by gradients: `sum_i d_i y_i` with

        d = softmax((logits + Gumbel noise) / temperature)

    and a temperature that falls from step to step. What is served reads the node of the greatest
    logit. `tree()` tells which tasks share what by these choices: train it again from the start with
    `Branched(scheme.tree(), units=...)`, which has no nodes that nobody reads. Tasks part where
    sharing costs them something, so search with nodes as narrow as they are to be.

    `(B, ..., d)` to `(B, ..., units[-1])` for each task. One step trains weights and logits alike.

    Guo, Lee and Ulbricht, "Learning to Branch for Multi-Task Learning", ICML 2020,
    arXiv:2006.01895.

    Args:
        units: Width of each layer.
        activation: Of every layer.
        branches: How many nodes each layer has, or a number for each; as many as tasks, if not
            given, so that any tree can be found.
        temperature: A number; the temperature is `temperature / sqrt(steps + 1)`. Or a
            `keras.optimizers.schedules.LearningRateSchedule` of the steps.
        straight_through: Whether training, too, reads one node alone, the greatest of d, and takes
            the gradient of d for that of the choice.

    Attributes:
        steps: How many training batches the layer has seen (a balancer that looks at a batch in
            parts, or twice, shows it as many).

    Raises:
        ValueError: If there is no layer or node, there are not as many numbers of nodes as layers, a
            width is not positive, or the temperature is not.
    """

    def __init__(
        self,
        units: Sequence[int] | int = (64, 64),
        activation: str = "relu",
        branches: Sequence[int] | int | None = None,
        temperature: Any = 10.0,
        straight_through: bool = False,
        **kwargs: Any,
    ):
        super().__init__(units, activation, **kwargs)
        if isinstance(temperature, Mapping):
            temperature = keras.saving.deserialize_keras_object(temperature)
        self.branches = _nodes(branches, len(self.units))
        self.temperature = _positive(temperature)
        self.straight_through = bool(straight_through)

    def build(self, input_shape: Any) -> None:
        counts = self._counts()
        self.levels, self.choices = [], []
        for i, (n, width) in enumerate(zip(counts, self.units, strict=True)):
            if i > 0:
                self.choices.append(self._logits(f"choices_{i}", n, counts[i - 1]))
                input_shape = (*input_shape[:-1], n, self.units[i - 1])
            level = side_by_side(
                n,
                width,
                input_shape,
                apart=i > 0,
                activation=self.activation,
                name=f"dense_{i}",
                dtype=self.dtype_policy,
            )
            self.levels.append(level)
            input_shape = (*level.compute_output_shape(input_shape)[:-2], width)
        # Task by task, so that a choice belongs to the task that makes it.
        self.last = [self._logits(f"choice_{name}", 1, counts[-1]) for name in self.task_names]
        self.seeds = [keras.random.SeedGenerator() for _ in [*self.choices, *self.last]]
        self.steps = self.add_weight((), "zeros", "int64", trainable=False, name="steps")
        self.built = True

    def call(self, features: Any, training: bool | None = None) -> dict[str, Any]:
        temperature = self._temperature_now() if training else None
        inner, outer = self.seeds[: len(self.choices)], self.seeds[len(self.choices) :]
        made = self.levels[0](features)
        for level, logits, seed in zip(self.levels[1:], self.choices, inner, strict=True):
            made = level(self._read(made, logits, seed, temperature))
        return {
            name: ops.squeeze(self._read(made, logits, seed, temperature), -2)
            for name, logits, seed in zip(self.task_names, self.last, outer, strict=True)
        }

    def tree(self) -> list[list[list[str]]]:
        """Which tasks share which layers by the greatest logits, as `groups` of `Branched`.

        Returns:
            For each layer a partition of the tasks: those of a group read the same node, which those
            of other groups do not.

        Raises:
            ValueError: If the scheme was not connected to features before.
        """
        if not self.built:
            raise ValueError(
                "`tree` of a sharing.LTB was called before it is part of a model; give it to "
                "`build_model`, or call `connect` first."
            )
        read = [int(_greatest(logits)[0]) for logits in self.last]
        found = [_together(self.task_names, read)]
        for logits in reversed(self.choices):
            parents = _greatest(logits)
            read = [int(parents[node]) for node in read]
            found.append(_together(self.task_names, read))
        return found[::-1]

    def relations(self) -> dict[str, Relation]:
        """How likely each node of the last layer is to be read by each task."""
        likely = ops.convert_to_numpy(softmax(ops.concatenate([x.value for x in self.last])))
        nodes = [f"node {i + 1}" for i in range(likely.shape[1])]
        return {"choices": Relation(likely, self.task_names, nodes)}

    def get_config(self) -> dict[str, Any]:
        branches, temperature = self.branches, self.temperature
        scheduled = isinstance(temperature, Schedule)
        return {
            **super().get_config(),
            "branches": list(branches) if isinstance(branches, Sequence) else branches,
            "temperature": keras.saving.serialize_keras_object(temperature)
            if scheduled
            else temperature,
            "straight_through": self.straight_through,
        }

    def _counts(self) -> list[int]:
        """How many nodes each layer has."""
        if isinstance(self.branches, Sequence):
            return list(self.branches)
        return [self.branches or len(self.task_names)] * len(self.units)

    def _logits(self, name: str, readers: int, nodes: int) -> Any:
        # Not rounded in mixed precision: many small steps make a choice.
        return self.add_weight((readers, nodes), "zeros", name=name, autocast=False)

    def _temperature_now(self) -> Any:
        if isinstance(self.temperature, Schedule):
            now = ops.cast(self.temperature(ops.convert_to_tensor(self.steps)), "float32")
        else:
            now = self.temperature / ops.sqrt(ops.cast(self.steps, "float32") + 1)
        self.steps.assign_add(1)
        return ops.maximum(now, _LEAST)

    def _read(self, made: Any, logits: Any, seed: Any, temperature: Any) -> Any:
        """What each of R readers makes of N nodes: `(..., N, d)` to `(..., R, d)`.

        Args:
            made: What the nodes made.
            logits: `(R, N)`.
            seed: Of the draws.
            temperature: `()`; None to read the node of the greatest logit.
        """
        if temperature is None:
            return ops.take(made, ops.argmax(logits, axis=-1), axis=-2)
        drawn = gumbel_softmax(
            ops.convert_to_tensor(logits), gumbel_noise(logits.shape, seed), temperature
        )
        if self.straight_through:
            greatest = ops.one_hot(ops.argmax(drawn, axis=-1), logits.shape[-1], dtype=drawn.dtype)
            drawn = greatest + (drawn - ops.stop_gradient(drawn))
        return ops.matmul(ops.cast(drawn, made.dtype), made)


def _greatest(logits: Any) -> Any:
    return ops.convert_to_numpy(logits).argmax(axis=-1)


def _together(names: Sequence[str], read: Sequence[int]) -> list[list[str]]:
    """The tasks by the node that each reads, in the order of the tasks."""
    groups: dict[int, list[str]] = {}
    for name, node in zip(names, read, strict=True):
        groups.setdefault(node, []).append(name)
    return list(groups.values())


def _nodes(branches: Any, layers: int) -> list[int] | int | None:
    if branches is None:
        return None
    if not isinstance(branches, Sequence):
        return at_least_one("LTB", "branches", branches)
    if len(branches) != layers:
        raise ValueError(
            f"`branches` of sharing.LTB is {list(branches)}, but `units` gives {layers} layers; expected "
            "a number of nodes for each layer, or one number for all."
        )
    return [at_least_one("LTB", "branches", n) for n in branches]


def _positive(temperature: Any) -> Any:
    if isinstance(temperature, Schedule):
        return temperature
    if (
        isinstance(temperature, bool)
        or not isinstance(temperature, (int, float))
        or not (0 < temperature < float("inf"))
    ):
        raise ValueError(
            f"`temperature` of sharing.LTB is {temperature!r}; expected a positive number, or a "
            "keras.optimizers.schedules.LearningRateSchedule."
        )
    return float(temperature)
