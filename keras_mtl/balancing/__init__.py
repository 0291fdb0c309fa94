"""How K losses and K gradients are traded against each other.

A balancer is a Keras layer with few variables of its own, saved and checkpointed with the model.
Every vector is `(K,)`, in the order of the model's tasks, and losses are taken after their alphas.

`LossBalancer`, one backward pass: write `task_weights(losses (K,)) -> (K,)`, constants for the
backward pass, or `objective(losses (K,), present (K,)) -> ()` where the method states a scalar of its
own. `GramianBalancer`, K backward passes: write `task_weights(gramian (K, K), losses (K,),
present (K,)) -> (K,)`. `GradientBalancer`, K backward passes: write
`combine(gradients (K, ...), present (K,)) -> (...)`, a variable at a time.

Two more look at Gramians. `SplitBalancer` tells `parts` of a batch apart: write
`task_weights(products (parts, K, parts, K), losses (K,), present (K,)) -> (parts, K)`.
`FollowingBalancer` keeps a number for each entry of the K gradients: write `follow(gradients (K, ...),
kept (K, ...), norms (K,), losses (K,)) -> Followed`, and `task_weights` of what it measures.

To add one: a file named after the method, with a pure function and a thin final class; a test file
of the same name; one line below. The file's name is the method's, `names()` and the contract tests
find it by that line.
"""

from typing import Any

from keras_mtl._identifier import by_file_name, from_identifier
from keras_mtl.balancing._balancer import Balancer as Balancer
from keras_mtl.balancing._following_balancer import Followed as Followed
from keras_mtl.balancing._following_balancer import FollowingBalancer as FollowingBalancer
from keras_mtl.balancing._gradient_balancer import GradientBalancer as GradientBalancer
from keras_mtl.balancing._gramian_balancer import GramianBalancer as GramianBalancer
from keras_mtl.balancing._loss_balancer import LossBalancer as LossBalancer
from keras_mtl.balancing._split_balancer import SplitBalancer as SplitBalancer
from keras_mtl.balancing.aligned_mtl import AlignedMTL as AlignedMTL
from keras_mtl.balancing.auto_lambda import AutoLambda as AutoLambda
from keras_mtl.balancing.cagrad import CAGrad as CAGrad
from keras_mtl.balancing.chebyshev import Chebyshev as Chebyshev
from keras_mtl.balancing.config import ConFIG as ConFIG
from keras_mtl.balancing.cosmos import COSMOS as COSMOS
from keras_mtl.balancing.cr_mogm import CRMOGM as CRMOGM
from keras_mtl.balancing.db_mtl import DBMTL as DBMTL
from keras_mtl.balancing.dtp import DTP as DTP
from keras_mtl.balancing.dualproj import DualProj as DualProj
from keras_mtl.balancing.dwa import DWA as DWA
from keras_mtl.balancing.epo import EPO as EPO
from keras_mtl.balancing.equal import Equal as Equal
from keras_mtl.balancing.excess_mtl import ExcessMTL as ExcessMTL
from keras_mtl.balancing.fairgrad import FairGrad as FairGrad
from keras_mtl.balancing.famo import FAMO as FAMO
from keras_mtl.balancing.forum import FORUM as FORUM
from keras_mtl.balancing.gls import GLS as GLS
from keras_mtl.balancing.graddrop import GradDrop as GradDrop
from keras_mtl.balancing.gradnorm import GradNorm as GradNorm
from keras_mtl.balancing.gradvac import GradVac as GradVac
from keras_mtl.balancing.imtl import IMTL as IMTL
from keras_mtl.balancing.imtl_g import IMTLG as IMTLG
from keras_mtl.balancing.imtl_l import IMTLL as IMTLL
from keras_mtl.balancing.krum import Krum as Krum
from keras_mtl.balancing.mgda import MGDA as MGDA
from keras_mtl.balancing.moco import MoCo as MoCo
from keras_mtl.balancing.modo import MoDo as MoDo
from keras_mtl.balancing.nash_mtl import NashMTL as NashMTL
from keras_mtl.balancing.pbi import PBI as PBI
from keras_mtl.balancing.pcd import PCD as PCD
from keras_mtl.balancing.pcgrad import PCGrad as PCGrad
from keras_mtl.balancing.rlw import RLW as RLW
from keras_mtl.balancing.sdmgrad import SDMGrad as SDMGrad
from keras_mtl.balancing.sign_agreement import SignAgreement as SignAgreement
from keras_mtl.balancing.static import Static as Static
from keras_mtl.balancing.stch import STCH as STCH
from keras_mtl.balancing.trimmed_mean import TrimmedMean as TrimmedMean
from keras_mtl.balancing.uncertainty import Uncertainty as Uncertainty
from keras_mtl.balancing.upgrad import UPGrad as UPGrad

_BALANCERS = by_file_name(globals(), Balancer)


def names() -> list[str]:
    """The names that `compile(balancer=...)` takes."""
    return sorted(_BALANCERS)


def get(identifier: Any) -> Balancer | None:
    """A balancer from its name, its config, or itself; None stays None.

    Raises:
        ValueError: If no balancer has that name.
        TypeError: If it is neither a name, a config nor a balancer.
    """
    if identifier is None:
        return None
    return from_identifier("balancer", identifier, Balancer, _BALANCERS)
