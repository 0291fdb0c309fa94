"""A signature as a server tells it, which lists more than what can be called."""

from typing import Any

from keras_mtl.serving._signature import Signature, spec_of

_CALLED = "tensorflow/serving/"


def signature_of(name: str, message: Any) -> Signature | None:
    """The signature of a SignatureDef message, or None for one that only the loader calls.

    Args:
        name: The signature's name.
        message: A SignatureDef.
    """
    if not message.method_name.startswith(_CALLED):
        return None
    return Signature(
        name,
        {key: spec_of(message.inputs[key]) for key in sorted(message.inputs)},
        {key: spec_of(message.outputs[key]) for key in sorted(message.outputs)},
    )
