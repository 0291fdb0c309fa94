"""How TF Serving joins requests: `batching.config`, checked before a server reads it."""

from collections.abc import Mapping
from typing import Any

# Of `BatchingParameters` in TF Serving's session_bundle_config.proto; its other fields are refused.
_NUMBERS = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
_DEFAULTS = {"max_batch_size": 64, "batch_timeout_micros": 2000, "max_enqueued_batches": 100}


def batching_config(given: Mapping[str, Any]) -> str:
    """The file's text, with what is not given as it is by default.

    Args:
        given: `max_batch_size` (64), `batch_timeout_micros` (2000), `max_enqueued_batches` (100),
            `num_batch_threads` (one a core of the server) and `allowed_batch_sizes`.

    Raises:
        ValueError: If a field is unknown, or a number is out of range.
    """
    known = (*_NUMBERS, "allowed_batch_sizes")
    unknown = [name for name in given if name not in known]
    if "pad_variable_length_inputs" in unknown:
        raise ValueError(
            "`batching` asks for pad_variable_length_inputs, by which TF Serving fills short rows up "
            "with the first value of the request, so that answers change; leave it out, and send "
            "rows of one length, or tf.Examples to `serving_examples`."
        )
    if unknown:
        raise ValueError(f"`batching` has the fields {unknown}; expected some of {list(known)}.")
    values = {**_DEFAULTS, **given}
    lines = []
    for name in _NUMBERS:
        if name in values:
            least = 0 if name == "batch_timeout_micros" else 1
            lines.append(f"{name} {{ value: {_whole(name, values[name], least)} }}")
    sizes = [_whole("allowed_batch_sizes", s, 1) for s in given.get("allowed_batch_sizes", ())]
    if sizes and (sizes != sorted(set(sizes)) or sizes[-1] != values["max_batch_size"]):
        raise ValueError(
            f"`batching` has allowed_batch_sizes {sizes}; expected them to rise to max_batch_size, "
            f"{values['max_batch_size']}."
        )
    lines += [f"allowed_batch_sizes: {size}" for size in sizes]
    return "\n".join(lines) + "\n"


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"`batching` has {name} {value!r}; expected a whole number of at least {least}."
        )
    return value
