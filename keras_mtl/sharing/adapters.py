"""Adapters: hard sharing, with a few weights for each task on top."""

from typing import Any

import keras
from keras import ops

from keras_mtl.sharing._sharing import Sharing
from keras_mtl.sharing._towers import Towers, at_least_one, widened

_KINDS = ("bottleneck", "film", "lora")


@keras.saving.register_keras_serializable("keras_mtl")
class Adapters(Sharing):
    """Every task reads the same features x through a small change of its own, none at the start.

    - "bottleneck": `x + act(x D_k + c_k) U_k + b_k`, with D_k `(d, size)` and U_k `(size, d)`, 0 at
      the start. Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019,
      arXiv:1902.00751.
    - "film": `gamma_k * x + beta_k`, a scale and a shift of each feature, at the start 1 and 0.
      Perez, Strub, de Vries, Dumoulin and Courville, "FiLM: Visual Reasoning with a General
      Conditioning Layer", AAAI 2018, arXiv:1709.07871; the condition is the task.
    - "lora": `x + x A_k B_k`, with A_k `(d, size)` and B_k `(size, d)`, 0 at the start. Hu et al.,
      "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, arXiv:2106.09685.

    `(B, ..., d)` to `(B, ..., d)` for each task.

    Args:
        kind: "bottleneck", "film" or "lora".
        size: Width of the bottleneck, rank of the update; not used by "film".
        activation: Of the bottleneck; not used by the others.

    Raises:
        ValueError: If the kind is none of these or the size is not positive.
    """

    def __init__(
        self,
        kind: str = "bottleneck",
        size: int = 8,
        activation: str = "relu",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if kind not in _KINDS:
            raise ValueError(
                f"`kind` of sharing.Adapters is {kind!r}; expected one of {list(_KINDS)}."
            )
        self.kind = kind
        self.size = at_least_one("Adapters", "size", size)
        self.activation = activation

    def build(self, input_shape: Any) -> None:
        k, width = len(self.task_names), input_shape[-1]
        if self.kind == "film":
            self.scale = self.add_weight((k, width), "ones", name="scale")
            self.shift = self.add_weight((k, width), "zeros", name="shift")
        else:
            bottleneck = self.kind == "bottleneck"
            options = {"use_bias": bottleneck, "dtype": self.dtype_policy}
            self.down = Towers(
                self.task_names,
                self.size,
                name="down",
                activation=self.activation if bottleneck else None,
                **options,
            )
            self.down.build(input_shape)
            self.up = Towers(
                self.task_names, width, name="up", kernel_initializer="zeros", **options
            )
            self.up.build(widened(input_shape, self.size))
        self.built = True

    def call(self, features: Any) -> dict[str, Any]:
        k = len(self.task_names)
        if self.kind == "film":
            scales, shifts = ops.unstack(self.scale, k), ops.unstack(self.shift, k)
            changed = [g * features + b for g, b in zip(scales, shifts, strict=True)]
        else:
            changed = [features + x for x in self.up(self.down([features] * k))]
        return dict(zip(self.task_names, changed, strict=True))

    def compute_output_shape(self, input_shape: Any) -> dict[str, Any]:
        return dict.fromkeys(self.task_names, input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kind": self.kind,
            "size": self.size,
            "activation": self.activation,
        }
