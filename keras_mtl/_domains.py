"""Which domain each row of the batch in training is of, told to layers without being an input.

A model is served without domains, so that they cannot be an input; and a layer has no labels. While
a model runs on labelled rows, it tells those of them that are domains here, and layers ask.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


class AsksForDomains:
    """A layer that asks for the domains of a label name.

    Attributes:
        domain: The label that tells a row's domain: integers, -1 where it is not known.
        domains: How many there are.
    """

    domain: str
    domains: int

    def check_domains(self, labels: Any) -> None:
        """Checks labels that tell domains.

        Raises:
            ValueError: If they are not integers from -1 to below `domains`, one a row.
        """
        array = np.asarray(labels)
        whole = array.dtype.kind in "iub" and array.size == len(array)
        if not whole or array.min() < -1 or array.max() >= self.domains:
            told = f"from {array.min()} to {array.max()}" if whole else f"of dtype {array.dtype}"
            raise ValueError(
                f"Labels {self.domain!r} tell the domain of each row: integers from 0 to "
                f"{self.domains - 1}, or -1 where it is not known, of shape (rows,); they came as "
                f"shape {array.shape}, {told}."
            )


# Replicas are traced in threads of their own.
_now = threading.local()


@contextlib.contextmanager
def telling(domains: Mapping[str, Any]) -> Iterator[None]:
    """Tells the labels of a batch by name, domains among them: `(B,)` integers, -1 where not known."""
    before = getattr(_now, "domains", {})
    _now.domains = dict(domains)
    try:
        yield
    finally:
        _now.domains = before


def told(name: str) -> Any:
    """The domains of that name of the batch in training, None where nobody tells them."""
    return getattr(_now, "domains", {}).get(name)
