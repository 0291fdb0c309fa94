"""Two replicas balance as one device does: gradients are added up before they are balanced."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

PROGRAM = textwrap.dedent(
    """
    import contextlib, sys
    import tensorflow as tf

    out, replicas = sys.argv[1], int(sys.argv[2])
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    devices = [f"CPU:{i}" for i in range(replicas)]
    strategy = tf.distribute.MirroredStrategy(
        devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    import keras, numpy as np
    from keras_mtl import balancing
    from tests.models import compiled, rows

    x, y = rows(64)
    y["a_kind"][8:20] = -1
    y["m_sold"][:32] = np.nan  # no label in the first batch
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    found = {}
    kinds = {
        "upgrad": balancing.UPGrad(), "features": balancing.MGDA(gradients="features"),
        "uncertainty": balancing.Uncertainty(), "sign_agreement": balancing.SignAgreement(0.5),
        "gls": balancing.GLS(),
    }
    for name, balancer in kinds.items():
        with strategy.scope() if replicas > 1 else contextlib.nullcontext():
            made = type(balancer).from_config(balancer.get_config())
            model = compiled(seed=1, optimizer=keras.optimizers.SGD(0.5), balancer=made)
        logs = model.fit(data, epochs=2, verbose=0).history
        found[name + " loss"] = logs["loss"]
        for i, value in enumerate(model.get_weights()):
            found[f"{name} {i}"] = value
    np.savez(out, **found)
    """
)


@pytest.mark.slow
def test_two_replicas_give_what_one_device_gives(tmp_path):
    found = []
    for replicas in (1, 2):
        out = tmp_path / f"{replicas}.npz"
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(out), str(replicas)],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.getcwd()},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(np.load(out))
    assert set(found[0]) == set(found[1])
    for name in found[0]:
        np.testing.assert_allclose(
            found[1][name], found[0][name], rtol=2e-4, atol=2e-5, err_msg=name
        )
