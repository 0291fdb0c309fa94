"""Two samples of different sizes and a batch of three domains, and how functions of them are run."""

import functools

import keras
import numpy as np
import tensorflow as tf

from keras_mtl._domains import telling
from keras_mtl.alignment._sinkhorn import sinkhorn_divergence
from keras_mtl.alignment._sliced import random_directions, sliced_wasserstein
from keras_mtl.alignment.adversarial import Adversarial
from keras_mtl.alignment.coral import CORAL, coral
from keras_mtl.alignment.divergence import Divergence, divergence
from keras_mtl.alignment.gaussian_kl import GaussianKL, gaussian_kl
from keras_mtl.alignment.info_nce import InfoNCE, info_nce
from keras_mtl.alignment.joint_mmd import JointMMD, joint_mmd
from keras_mtl.alignment.mmd import MMD, mmd
from keras_mtl.alignment.wasserstein import Wasserstein

ROWS, WIDTH, DOMAINS = 24, 4, 3

METHODS = {
    "mmd": (MMD, {}),
    "mmd unbiased": (MMD, {"estimate": "unbiased", "factors": [1.0, 3.0]}),
    "mmd linear": (MMD, {"estimate": "linear"}),
    "mmd median": (MMD, {"bandwidth": "median"}),
    "joint_mmd": (JointMMD, {"widths": [3, 1]}),
    "coral": (CORAL, {}),
    "gaussian_kl": (GaussianKL, {}),
    "gaussian_kl full": (GaussianKL, {"covariances": "full", "form": "js", "ridge": 0.01}),
    "divergence": (Divergence, {"from_logits": True}),
    "wasserstein": (Wasserstein, {"seed": 5, "projections": 8}),
    "wasserstein sinkhorn": (Wasserstein, {"estimate": "sinkhorn", "iterations": 20}),
    "info_nce": (InfoNCE, {"temperature": 0.5}),
    "adversarial": (Adversarial, {"units": [5], "steps": 10}),
}


def split(x, y):
    return ([x[:, :3], x[:, 3:]], [y[:, :3], y[:, 3:]])


DIRECTIONS = random_directions(WIDTH, 8, keras.random.SeedGenerator(5))
# Functions of two samples of logits or features, with their weights.
DISTANCES = {
    "mmd": mmd,
    "mmd unbiased": functools.partial(mmd, estimate="unbiased", factors=[1.0, 3.0]),
    "mmd linear": functools.partial(mmd, estimate="linear"),
    "mmd median": functools.partial(mmd, bandwidth="median"),
    "joint_mmd": lambda x, y, *w: joint_mmd(*split(x, y), *w),
    "coral": coral,
    "gaussian_kl": gaussian_kl,
    "gaussian_kl full": functools.partial(gaussian_kl, covariances="full", form="js", ridge=0.01),
    "divergence": functools.partial(divergence, from_logits=True),
    "wasserstein": functools.partial(sliced_wasserstein, directions=DIRECTIONS),
    "wasserstein sinkhorn": functools.partial(sinkhorn_divergence, iterations=20),
    "info_nce": functools.partial(info_nce, temperature=0.5),
}


def samples(n=10, m=14, shift=1.0, seed=0):
    """`(n, 4)` and `(m, 4)`, the latter moved and wider."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, WIDTH)), shift + 1.5 * rng.normal(size=(m, WIDTH))
    return x.astype("float32"), y.astype("float32")


def batch(seed=0):
    """Features `(24, 4)` of three domains, and these; the last three rows are of none."""
    rng = np.random.default_rng(seed)
    domains = np.array([0, 1, 2] * 7 + [-1] * 3, "int32")
    features = rng.normal(size=(ROWS, WIDTH)) + domains[:, None]
    return features.astype("float32"), domains


def gradients(function, *arguments):
    """The value of a function, and its gradient in each argument."""
    arguments = [tf.convert_to_tensor(a) for a in arguments]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        value = function(*arguments)
    found = [tf.convert_to_tensor(g) for g in tape.gradient(value, arguments)]
    return value, [g.numpy() for g in found]


def layer(method, dtype="float32"):
    cls, options = METHODS[method]
    made = cls(domains=DOMAINS, domain="site", weight=2.0, dtype=dtype, **options)
    made.build((None, WIDTH))
    return made


def trained(method, dtype="float32", compiled=True):
    """A `(features, domains) -> (features, added loss, its gradient)`, as `fit` does it."""
    made = layer(method, dtype)

    @tf.function(jit_compile=compiled)
    def run(features, domains):
        with tf.GradientTape() as tape, telling({"site": domains}):
            tape.watch(features)
            out = made(features, training=True)
            (added,) = made.losses
        return out, added, tf.convert_to_tensor(tape.gradient(added, features))

    return lambda features, domains: [
        t.numpy() for t in run(tf.convert_to_tensor(features), tf.convert_to_tensor(domains))
    ]
