"""Who shares which parameters: from one trunk to learned relations between tasks.

A sharing scheme is a Keras layer: features, `(B, d)`, `(B, T, d)` or `(B, h, w, d)`, to
`{task: features}`. Losses of its own, such as the distance of soft sharing, go through `add_loss`.

To add one: a file with a subclass of `Sharing`, a test file of the same name, one line below.
"""

from typing import Any

from keras_mtl._identifier import by_file_name, from_identifier
from keras_mtl.sharing._sharing import Sharing as Sharing
from keras_mtl.sharing.adapters import Adapters as Adapters
from keras_mtl.sharing.aitm import AITM as AITM
from keras_mtl.sharing.branched import Branched as Branched
from keras_mtl.sharing.cgc import CGC as CGC
from keras_mtl.sharing.covariance import Covariance as Covariance
from keras_mtl.sharing.cross_stitch import CrossStitch as CrossStitch
from keras_mtl.sharing.dselect_k import DSelectK as DSelectK
from keras_mtl.sharing.hard import Hard as Hard
from keras_mtl.sharing.ltb import LTB as LTB
from keras_mtl.sharing.mmoe import MMoE as MMoE
from keras_mtl.sharing.mtan import MTAN as MTAN
from keras_mtl.sharing.nddr import NDDR as NDDR
from keras_mtl.sharing.ple import PLE as PLE
from keras_mtl.sharing.shared_private import SharedPrivate as SharedPrivate
from keras_mtl.sharing.sluice import Sluice as Sluice
from keras_mtl.sharing.soft import Soft as Soft
from keras_mtl.sharing.sparse_moe import SparseMoE as SparseMoE

_SCHEMES = by_file_name(globals(), Sharing)


def names() -> list[str]:
    """The names that `build_model(sharing=...)` takes."""
    return sorted(_SCHEMES)


def get(identifier: Any) -> Sharing:
    """A sharing scheme from its name, its config, or itself.

    Raises:
        ValueError: If no scheme has that name.
        TypeError: If it is neither a name, a config nor a scheme.
    """
    return from_identifier("sharing", identifier, Sharing, _SCHEMES)
