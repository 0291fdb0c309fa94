"""How the representations of different domains are brought together.

The tasks' inputs may be drawn from different places: hospitals, sensors, languages. Each file has a
function of two batches of features, `(n, d)` and `(m, d)` to `()`, and an `Alignment` that applies it
to the domains of one batch: a layer that features pass as they are, and that adds a loss in training.

To add one: a file with a subclass of `Alignment`, a test file of the same name, one line below.
"""

from typing import Any

from keras_mtl._identifier import by_file_name, from_identifier
from keras_mtl.alignment._alignment import Alignment as Alignment
from keras_mtl.alignment._reversal import GradientReversal as GradientReversal
from keras_mtl.alignment.adversarial import Adversarial as Adversarial
from keras_mtl.alignment.coral import CORAL as CORAL
from keras_mtl.alignment.divergence import Divergence as Divergence
from keras_mtl.alignment.gaussian_kl import GaussianKL as GaussianKL
from keras_mtl.alignment.info_nce import InfoNCE as InfoNCE
from keras_mtl.alignment.joint_mmd import JointMMD as JointMMD
from keras_mtl.alignment.mmd import MMD as MMD
from keras_mtl.alignment.wasserstein import Wasserstein as Wasserstein

_ALIGNMENTS = by_file_name(globals(), Alignment)


def names() -> list[str]:
    """The methods, by the names of their files."""
    return sorted(_ALIGNMENTS)


def get(identifier: Any) -> Alignment:
    """An alignment from its config, or itself.

    Raises:
        ValueError: If it is a name, which does not tell how many domains there are.
        TypeError: If it is neither a config nor an alignment.
    """
    if isinstance(identifier, str):
        raise ValueError(
            f"`alignment` is {identifier!r}, which does not say how many domains there are; give an "
            "object, such as keras_mtl.alignment.MMD(domains=2)."
        )
    return from_identifier("alignment", identifier, Alignment, _ALIGNMENTS)
