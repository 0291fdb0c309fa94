"""AITM: tasks in sequence, each of which reads what the one before hands on."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.sharing._experts import softmax
from keras_mtl.sharing._layered import Layered
from keras_mtl.sharing._towers import Towers, widened


def attended(values: Sequence[Any], keys: Sequence[Any], queries: Sequence[Any]) -> Any:
    """`sum_u w_u v_u`, `(B, ..., d)`, with `w = softmax_u(<k_u, q_u> / sqrt(d))` in float32.

    Each part asks its own key, not the other parts': how much it counts is said by it alone.

    Args:
        values: v, one `(B, ..., d)` a part.
        keys: k, the same.
        queries: q, the same.
    """
    root = keys[0].shape[-1] ** 0.5
    logits = [
        ops.sum(ops.cast(k, "float32") * ops.cast(q, "float32"), axis=-1, keepdims=True) / root
        for k, q in zip(keys, queries, strict=True)
    ]
    shares = ops.split(softmax(ops.concatenate(logits, axis=-1)), len(values), axis=-1)
    return sum(ops.cast(w, v.dtype) * v for w, v in zip(shares, values, strict=True))


@keras.saving.register_keras_serializable("keras_mtl")
class AITM(Layered):
    """A tower for each task, which also reads what the task before it hands on, as much as it learns to.

    For tasks that follow each other, such as click, cart and purchase: their order is that of the
    tasks. With q_t the tower of task t, `z_1 = q_1`, and after it

        p_t = g_t(z_{t-1}),    z_t = sum over u in (p_t, q_t) of w_u v_t(u),
        w = softmax over the two of <k_t(u), r_t(u)> / sqrt(d)

    with g a dense layer with the activation and v, k and r linear without bias, row by row and
    position by position. What a later task learns reaches earlier towers, and nothing goes the
    other way. `tasks.Binary(at_most=...)` is the paper's calibrator; its dropout is left out.

    `(B, ..., d)` to `(B, ..., units[-1])` for each task.

    Xi, Chen, Yan, Zhang, Zhu, Zhuang and Chen, "Modeling the Sequential Dependence among Audience
    Multi-step Conversions with Multi-task Learning in Targeted Display Advertising", KDD 2021,
    arXiv:2105.08489.

    Args:
        units: Width of each layer of a tower.
        activation: Of every layer of a tower, and of what is handed on.

    Raises:
        ValueError: If there is no layer, or a width is not positive.
    """

    def build(self, input_shape: Any) -> None:
        self.levels = self.towers(input_shape)
        self.transfers = self._beside("transfers", activation=self.activation)
        self.values = self._beside("values", use_bias=False)
        self.keys = self._beside("keys", use_bias=False)
        self.queries = self._beside("queries", use_bias=False)
        for layer in (self.transfers, self.values, self.keys, self.queries):
            layer.build(widened(input_shape, self.units[-1]))
        self.built = True

    def call(self, features: Any) -> dict[str, Any]:
        towers = [features] * len(self.task_names)
        for level in self.levels:
            towers = level(towers)
        read = towers[:1]
        for t, tower in enumerate(towers[1:]):
            parts = [self.transfers.towers[t](read[-1]), tower]
            values, keys, queries = (
                [layer.towers[t](u) for u in parts]
                for layer in (self.values, self.keys, self.queries)
            )
            read.append(attended(values, keys, queries))
        return dict(zip(self.task_names, read, strict=True))

    def _beside(self, name: str, **options: Any) -> Towers:
        """A layer of the features' width for each task after the first."""
        names, width = self.task_names[1:], self.units[-1]
        return Towers(names, width, name=name, dtype=self.dtype_policy, **options)
