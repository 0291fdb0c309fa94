"""How a task's scores are made alike in groups that should be treated alike.

Which group a row is of, such as a person's sex, is a label that training alone needs. Each file has a
`ScoreDistance`: a layer that a task's raw scores `(B, d)` pass as they are, and that adds a loss in
training, a distance between the scores of two groups, to `()`. How groups fare is
`keras_mtl.evaluate(..., sensitive=...)`.

To add one: a file with a subclass of `ScoreDistance`, a test file of the same name, one line below.
"""

from typing import Any

from keras_mtl._identifier import by_file_name, from_identifier
from keras_mtl.fairness._score_distance import ScoreDistance as ScoreDistance
from keras_mtl.fairness.mmd import MMD as MMD

_LOSSES = by_file_name(globals(), ScoreDistance)


def names() -> list[str]:
    """The methods, by the names of their files."""
    return sorted(_LOSSES)


def get(identifier: Any) -> ScoreDistance:
    """A fairness loss from its config, or itself.

    Raises:
        ValueError: If it is a name, which does not tell which label the groups are.
        TypeError: If it is neither a config nor a fairness loss.
    """
    if isinstance(identifier, str):
        raise ValueError(
            f"`fairness` is {identifier!r}, which does not say which label tells the groups; give an "
            "object, such as keras_mtl.fairness.MMD('sex', groups=2)."
        )
    return from_identifier("fairness", identifier, ScoreDistance, _LOSSES)
