"""The three ways to make a distance of two distributions out of a Kullback-Leibler divergence."""

from collections.abc import Callable
from typing import Any

FORMS = ("kl", "symmetric", "js")


def check_form(name: str, form: str) -> None:
    """Says what is wrong with the form of a divergence, if anything is.

    Raises:
        ValueError: If it is none of `FORMS`.
    """
    if form not in FORMS:
        raise ValueError(f"`form` of {name} is {form!r}; expected one of {list(FORMS)}.")


def divergence_in(
    form: str,
    kl: Callable[[Any, Any], Any],
    p: Any,
    q: Any,
    mixture: Callable[[Any, Any], Any],
) -> Any:
    """`KL(p | q)`; its mean with `KL(q | p)`; or the mean of both divergences from their mixture."""
    if form == "kl":
        return kl(p, q)
    if form == "symmetric":
        return 0.5 * (kl(p, q) + kl(q, p))
    middle = mixture(p, q)
    return 0.5 * (kl(p, middle) + kl(q, middle))
