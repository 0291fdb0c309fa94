"""A run that is killed and started again ends where it would have ended."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

PROGRAM = textwrap.dedent(
    """
    import os, signal, sys
    import keras, numpy as np
    import keras_mtl
    from keras_mtl import data, encoders, tasks

    folder, die_in = sys.argv[1], int(sys.argv[2])
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)).astype("float32")
    rows = data.Examples(
        {"features": x},
        {"price": 100 + 30 * x[:, 0], "sold": np.where(rng.random(200) < 0.2, -1, x[:, 1] > 0)},
    )
    model = keras_mtl.build_model(
        encoders.Dense(4, units=[8], dropout=0.2),
        [tasks.Regression("price"), tasks.Binary("sold", class_weight="balanced")],
    )
    model.compile(keras.optimizers.Adam(0.01), balancer="dwa", loss_weights={"sold": 0.5})

    class Die(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == die_in:
                os.kill(os.getpid(), signal.SIGKILL)

    history = model.fit(
        rows.dataset(20, shuffle=True, seed=3),
        epochs=5,
        verbose=0,
        callbacks=[keras.callbacks.BackupAndRestore(folder + "/backup"), Die()],
    )
    np.savez(folder + "/end.npz", *model.get_weights())
    """
)


def run(folder, die_in: int) -> int:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(die_in)],
        env=environment,
        check=False,
        capture_output=True,
    ).returncode


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(tmp_path):
    """SIGKILL in the fourth epoch; shuffle order, dropout, balancer and optimizer all go on."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    assert run(whole, die_in=-1) == 0
    assert run(broken, die_in=35) == -signal.SIGKILL
    assert not (broken / "end.npz").exists()
    assert run(broken, die_in=-1) == 0
    expected, got = np.load(whole / "end.npz"), np.load(broken / "end.npz")
    assert set(expected) == set(got) and len(set(expected)) > 10
    for name in expected:
        np.testing.assert_array_equal(expected[name], got[name], err_msg=name)
