"""Shared-private: a tower for all tasks beside one for each, which should tell different things."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl._domains import AsksForDomains
from keras_mtl.sharing._layered import Layered
from keras_mtl.sharing._towers import not_negative, stack_of_towers, widened


def overlap(shared: Any, private: Any, weights: Any = None) -> Any:
    """`||S^T P||_F^2 / n^2`, `()` from 0 to 1: 0 where nothing in one tells of the other linearly.

    The rows of S and P are those of `shared` and `private` less their mean, at length 1.

    Args:
        shared: `(n, d)`.
        private: `(n, e)`.
        weights: `(n,)`, 1 for rows that count and 0 for those that do not; all count by default.
    """
    weights = ops.ones_like(shared[:, :1]) if weights is None else ops.expand_dims(weights, 1)
    n = ops.maximum(ops.sum(weights), 1.0)
    s, p = (_directions(features, weights, n) for features in (shared, private))
    return ops.sum(ops.square(ops.matmul(ops.transpose(s), p))) / ops.square(n)


@keras.saving.register_keras_serializable("keras_mtl")
class SharedPrivate(Layered):
    """Each task reads what is common to all beside what is its own, which are kept apart.

    One tower is shared, and each task has a private one; a task's features are both, side by side.
    While they train, two things keep what is common in the one and what is particular in the other:

    - The joint loss gets `orthogonality * sum_k ||S^T P_k||_F^2 / n^2`, over the n rows (positions of
      texts and images) of a batch, S the shared features and P_k the private ones of task k, less
      their mean and at length 1.
    - An `alignment` draws together the *shared* features of rows from different places, and leaves the
      private ones alone. With `alignment.Adversarial`, and a label that tells which task's data a row
      is from, it is the paper's task discriminator: what it can tell the task by is not shared.

    `(B, ..., d)` to `(B, ..., 2 * units[-1])` for each task.

    Liu, Qiu and Huang, "Adversarial Multi-task Learning for Text Classification", ACL 2017,
    arXiv:1704.05742. Rows are centred and scaled as in Bousmalis et al., "Domain Separation Networks",
    NeurIPS 2016, arXiv:1608.06019, so that features cannot escape by becoming small.

    Args:
        units: Width of each layer of a tower.
        activation: Of every layer.
        orthogonality: Weight of the loss; 0 for none.
        alignment: `{label name: alignment}`, objects of `keras_mtl.alignment`, as `build_model` takes
            them for the features that all towers read. Labels of that name tell a row's domain.

    Raises:
        ValueError: If a width is not positive, the weight is negative, a label that tells domains has
            the name of a task, or an alignment is connected to another label.
        TypeError: If `alignment` is no mapping to alignments.

    Example:

    >>> from keras_mtl import alignment
    >>> scheme = SharedPrivate(
    ...     units=(8,), alignment={"source": alignment.Adversarial(domains=2, steps=500)}
    ... )
    >>> {task: f.shape for task, f in scheme.connect(keras.Input((4,)), ["a", "b"]).items()}
    {'a': (None, 16), 'b': (None, 16)}
    """

    def __init__(
        self,
        units: Sequence[int] | int = (64,),
        activation: str = "relu",
        orthogonality: float = 0.1,
        alignment: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(units, activation, **kwargs)
        self.orthogonality = not_negative("SharedPrivate", "orthogonality", orthogonality)
        self.alignments = [_of_label(label, given) for label, given in _checked(alignment)]

    def connect(self, features: Any, task_names: Sequence[str]) -> dict[str, Any]:
        for layer in self.alignments:
            if layer.domain in task_names:
                raise ValueError(
                    f"`alignment` of sharing.SharedPrivate names the label {layer.domain!r}, which is a "
                    "task; domains are told by a label of their own."
                )
        return super().connect(features, task_names)

    def build(self, input_shape: Any) -> None:
        self.levels = self.towers(input_shape)
        self.shared = stack_of_towers(
            ["shared"], self.units, input_shape, activation=self.activation, dtype=self.dtype_policy
        )
        for layer in self.alignments:
            layer.build(widened(input_shape, self.units[-1]))
        self.built = True

    def call(self, features: Any, training: bool | None = None, mask: Any = None) -> dict[str, Any]:
        towers, common = [features] * len(self.task_names), [features]
        for level, shared in zip(self.levels, self.shared, strict=True):
            towers, common = level(towers), shared(common)
        (aligned,) = common
        for layer in self.alignments:
            aligned = layer(aligned, training=training, mask=mask)
        if training and self.orthogonality:
            self.add_loss(self.orthogonality * self._overlap(aligned, towers, mask))
        found = [ops.concatenate([aligned, tower], axis=-1) for tower in towers]
        return dict(zip(self.task_names, found, strict=True))

    def compute_output_shape(self, input_shape: Any) -> dict[str, Any]:
        return dict.fromkeys(self.task_names, widened(input_shape, 2 * self.units[-1]))

    def get_config(self) -> dict[str, Any]:
        made = {x.domain: keras.saving.serialize_keras_object(x) for x in self.alignments}
        for config in made.values():
            # They are built with this layer, under its name.
            config.pop("build_config", None)
        return {
            **super().get_config(),
            "orthogonality": self.orthogonality,
            "alignment": made or None,
        }

    def _overlap(self, shared: Any, towers: Sequence[Any], mask: Any) -> Any:
        # In float32 whatever the towers compute in, as losses are.
        s, *private = [
            ops.reshape(ops.cast(x, "float32"), (-1, self.units[-1])) for x in (shared, *towers)
        ]
        weights = None if mask is None else ops.reshape(ops.cast(mask, "float32"), (-1,))
        return sum(overlap(s, p, weights) for p in private)


def _directions(features: Any, weights: Any, n: Any) -> Any:
    """Rows less their mean, at length 1; those that do not count, and those at the mean, are 0."""
    away = weights * (features - ops.sum(weights * features, axis=0) / n)
    squares = ops.sum(ops.square(away), axis=1, keepdims=True)
    there = squares > 1e-12
    return ops.where(there, away / ops.sqrt(ops.where(there, squares, 1.0)), 0.0)


def _checked(alignment: Any) -> list[tuple[str, Any]]:
    if alignment is None:
        return []
    if not isinstance(alignment, Mapping):
        raise TypeError(
            f"`alignment` of sharing.SharedPrivate came as {alignment!r}; expected alignments by label "
            "name, such as {'source': keras_mtl.alignment.Adversarial(domains=2)}."
        )
    return list(alignment.items())


def _of_label(label: str, given: Any) -> Any:
    """An alignment that knows its label, from itself or its config."""
    made = keras.saving.deserialize_keras_object(given) if isinstance(given, Mapping) else given
    if not isinstance(made, keras.Layer) or not isinstance(made, AsksForDomains):
        raise TypeError(
            f"`alignment` of sharing.SharedPrivate has {given!r} for {label!r}; expected an object of "
            "keras_mtl.alignment, such as alignment.Adversarial(domains=2)."
        )
    if made.domain not in ("", label):
        raise ValueError(
            f"`alignment` of sharing.SharedPrivate has a {type(made).__name__} for {label!r} that aligns "
            f"the domains of {made.domain!r}; make a new one for each label."
        )
    made.domain = label
    return made
