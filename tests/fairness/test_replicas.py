"""On two replicas, each compares the groups of its own rows, and the mean of both counts."""

import os
import subprocess
import sys
import textwrap

import pytest

PROGRAM = textwrap.dedent(
    """
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    import keras, numpy as np
    import keras_mtl
    from keras_mtl import encoders, fairness, tasks
    from keras_mtl.alignment.mmd import mmd

    rng = np.random.default_rng(0)
    sex = rng.integers(0, 2, 64).astype("int32")
    x = rng.normal(size=(64, 4)).astype("float32")
    x[:, 1] += 2 * sex
    y = {"hired": (x[:, 1] > 1).astype("int32"), "sex": sex}
    with strategy.scope():
        keras.utils.set_random_seed(2)
        model = keras_mtl.build_model(
            encoders.Dense(4, units=[8]),
            [tasks.Binary("hired")],
            fairness={"hired": fairness.MMD("sex", strength=2.0)},
        )
        model.compile(keras.optimizers.SGD(0.1))
    chance = model({"features": x})["hired"].numpy().astype("float64")
    logits = np.log(chance / (1 - chance)).astype("float32")
    halves = [
        float(mmd(*(logits[h][sex[h] == s] for s in (0, 1)), estimate="unbiased"))
        for h in (slice(0, 32), slice(32, 64))
    ]
    data = tf.data.Dataset.from_tensor_slices(({"features": x}, y)).batch(64)
    logs = model.fit(data, verbose=0).history
    print("added", logs["loss"][0] - logs["hired_loss"][0], "expected", 2 * np.mean(halves))
    """
)


@pytest.mark.slow
def test_each_replica_compares_its_own_rows():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.getcwd()},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    _, added, _, expected = done.stdout.split()[-4:]
    assert float(added) == pytest.approx(float(expected), rel=1e-4) and float(added) > 0.05
