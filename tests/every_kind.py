"""What every balancer and sharing scheme comes to, in a process of its own, on one replica or two."""

import functools
import os
import subprocess
import sys
import tempfile
import textwrap

import numpy as np

PROGRAM = textwrap.dedent(
    """
    import contextlib, sys
    import tensorflow as tf

    out, replicas = sys.argv[1], int(sys.argv[2])
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    scope = strategy.scope if replicas > 1 else contextlib.nullcontext
    import keras, numpy as np
    import keras_mtl
    from keras_mtl import balancing, encoders, sharing, tasks
    from tests.models import compiled, rows

    x, y = rows(64)
    y["a_kind"][8:20] = -1
    y["m_sold"][:32] = np.nan  # no label in the first batch
    y["z_price"][32:48] = np.nan  # nor in the first replica's half of the second
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    found = {}

    def note(kind, name, model, history):
        for key, values in history.items():
            found[f"{kind}/{name}/history/{key}"] = values
        for i, variable in enumerate(model.weights):
            found[f"{kind}/{name}/{i}"] = variable.numpy()

    for name in balancing.names():
        keras.utils.set_random_seed(1)
        with scope():
            model = compiled(
                seed=1, optimizer=keras.optimizers.SGD(0.05), balancer=balancing.get(name),
                jit_compile=False,
            )
        note("balancer", name, model, model.fit(data, epochs=2, verbose=0).history)
    if replicas == 1:
        part = data.map(lambda x, y: ({"features": x}, {n: y[n] for n in ("z_price", "m_sold")}))
        for name in sharing.names():
            keras.utils.set_random_seed(1)
            model = keras_mtl.build_model(
                encoders.Dense(6, units=[8], dropout=0.1),
                [tasks.Regression("z_price"), tasks.Binary("m_sold")], name,
            )
            model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
            note("scheme", name, model, model.fit(part, epochs=2, verbose=0).history)
    np.savez(out, **found)
    """
)


@functools.cache
def results(replicas: int, again: int = 0) -> dict[str, np.ndarray]:
    """Weights and history by "balancer/NAME/..." and "scheme/NAME/..." after two epochs.

    Args:
        replicas: 1 or 2; schemes are trained on one alone.
        again: Another number is another process.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "found.npz")
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, out, str(replicas)],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.getcwd()},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        with np.load(out) as found:
            return dict(found)
