"""Hard sets of gradients, the same for every method."""

import numpy as np


def jacobians(k: int) -> dict[str, np.ndarray]:
    """K gradients, `(K, P)`, by what is hard about them."""
    rng = np.random.default_rng(k)
    plain = rng.normal(size=(k, 12))
    found = {
        "random": plain,
        "rank one": np.outer(rng.normal(size=k), rng.normal(size=12)),
        "low rank": rng.normal(size=(k, 2)) @ rng.normal(size=(2, 12)),
        "zero": np.zeros((k, 12)),
        "a zero row": np.where(np.arange(k)[:, None] == 0, 0.0, plain),
        "badly scaled": plain * np.logspace(-8, 8, k)[:, None],
        "tiny": plain * 1e-8,
        "identical": np.tile(plain[:1], (k, 1)),
        "conflicting": plain - 0.9 * plain.mean(0) * (k > 1),
        "opposite": np.where(np.arange(k)[:, None] % 2 == 0, plain[:1], -plain[:1]),
        "aligned": np.abs(plain),
    }
    return {name: j.astype("float32") for name, j in found.items()}


def gramian(jacobian: np.ndarray) -> np.ndarray:
    """`(K, K)`."""
    return (jacobian @ jacobian.T).astype("float32")
