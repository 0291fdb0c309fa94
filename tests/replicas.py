"""What training on so many replicas gives, in a process that begins with so many devices."""

import functools
import textwrap

import numpy as np

from tests.processes import arrays_of

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
    import keras_mtl
    from keras_mtl import balancing, sharing
    from tests.models import compiled, rows

    x, y = rows(64)
    y["a_kind"][8:20] = -1
    y["m_sold"][:32] = np.nan  # no label in the first batch
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    found = {}
    kinds = {
        "features": balancing.MGDA(gradients="features"), "gls": balancing.GLS(),
        "moco": balancing.MoCo(), "famo": balancing.FAMO(0.1),
    }
    for name, balancer in kinds.items():
        with strategy.scope() if replicas > 1 else contextlib.nullcontext():
            made = type(balancer).from_config(balancer.get_config())
            model = compiled(seed=1, optimizer=keras.optimizers.SGD(0.5), balancer=made)
        logs = model.fit(data, epochs=2, verbose=0).history
        found[name + " loss"] = logs["loss"]
        for i, value in enumerate(model.get_weights()):
            found[f"{name} {i}"] = value
    # Losses that layers add, state that they keep, and a scale that is learnt from the labels.
    part = data.map(lambda x, y: ({"features": x}, {n: y[n] for n in ("z_price", "m_sold")}))
    schemes = {
        "soft": sharing.Soft(
            "l2", keras.optimizers.schedules.ExponentialDecay(2.0, 1, 0.9), units=(4,)
        ),
        "mmoe": sharing.MMoE(experts=2, units=(4,)), "covariance": sharing.Covariance(units=(4,)),
    }
    for name, scheme in schemes.items():
        with strategy.scope() if replicas > 1 else contextlib.nullcontext():
            keras.utils.set_random_seed(1)
            model = keras_mtl.build_model(
                keras_mtl.encoders.Dense(6, units=[8]),
                [keras_mtl.tasks.Regression("z_price"), keras_mtl.tasks.Binary("m_sold")],
                type(scheme).from_config(scheme.get_config()),
            )
            model.compile(keras.optimizers.SGD(0.1))
        found[name + " loss"] = model.fit(part, epochs=2, verbose=0).history["loss"]
        for i, variable in enumerate(model.weights):
            # Each replica keeps the gates of its own rows.
            if variable.name != "mean_gates":
                found[f"{name} {i}"] = variable.numpy()
    np.savez(out, **found)
    """
)


@functools.cache
def weights_on(replicas: int) -> dict[str, np.ndarray]:
    """What two epochs give on so many replicas, by balancer and variable."""
    return arrays_of(PROGRAM, replicas)
