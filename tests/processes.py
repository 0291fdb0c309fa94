"""Programs that begin in a process of their own, and leave arrays."""

import os
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np


def arrays_of(program: str, *arguments: Any) -> dict[str, np.ndarray]:
    """What a program saves by `np.savez`, at the path that is its first argument.

    Args:
        program: Python; the tests' own modules can be imported.
        *arguments: Its further arguments.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "found.npz")
        done = subprocess.run(
            [sys.executable, "-c", program, out, *map(str, arguments)],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.getcwd()},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        with np.load(out) as found:
            return dict(found)
