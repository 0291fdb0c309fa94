"""What every balancer and sharing scheme comes to, in a process of its own, on one replica or two."""

import textwrap

import numpy as np

from tests.processes import arrays_of

PROGRAM = textwrap.dedent(
    """
    import contextlib, sys
    import tensorflow as tf

    out, replicas, compiled = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "compiled"
    chosen = sys.argv[4:]
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    scope = strategy.scope if replicas > 1 else contextlib.nullcontext
    import keras, numpy as np
    import keras_mtl
    from keras_mtl import balancing, encoders, sharing, tasks
    from tests.models import rows

    # Batches of which each replica has half, and each half three parts for those that tell them apart.
    x, y = rows(96)
    y = {name: y[name] for name in ("z_price", "m_sold")}
    y["m_sold"][:48] = np.nan  # no label in the first batch
    y["z_price"][48:72] = np.nan  # nor in the first replica's half of the second
    y["m_sold"][80:90] = np.nan
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(48)
    how = {"jit_compile": True} if compiled else {"run_eagerly": True}
    found = {}

    def two_tasks():
        inputs = keras.Input((6,), name="x")
        hidden = keras.layers.Dense(8, activation="relu", name="shared")(inputs)
        outputs = {
            "z_price": keras.layers.Dense(1, name="z_price")(hidden),
            "m_sold": keras.layers.Dense(1, activation="sigmoid", name="m_sold")(hidden),
        }
        return keras_mtl.MultiTaskModel(inputs, outputs)

    def note(kind, name, model, history):
        for key, values in history.items():
            found[f"{kind}/{name}/history/{key}"] = values
        for i, variable in enumerate(model.weights):
            found[f"{kind}/{name}/{i}"] = variable.numpy()

    for name in sorted(set(balancing.names()) & set(chosen or balancing.names())):
        keras.utils.set_random_seed(1)
        with scope():
            model = two_tasks()
            model.compile(
                keras.optimizers.SGD(0.05), loss={"z_price": "mse", "m_sold": "binary_crossentropy"},
                balancer=balancing.get(name), **how,
            )
        note("balancer", name, model, model.fit(data, verbose=0).history)
    if replicas == 1:
        part = data.map(lambda x, y: ({"features": x}, y))
        for name in sorted(set(sharing.names()) & set(chosen or sharing.names())):
            keras.utils.set_random_seed(1)
            model = keras_mtl.build_model(
                encoders.Dense(6, units=[8], dropout=0.1),
                [tasks.Regression("z_price"), tasks.Binary("m_sold")], name,
            )
            model.compile(keras.optimizers.Adam(0.01), **how)
            note("scheme", name, model, model.fit(part, verbose=0).history)
    np.savez(out, **found)
    """
)


def results(
    replicas: int = 1, how: str = "eager", names: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """Weights and history by "balancer/NAME/..." and "scheme/NAME/..." after two steps.

    Args:
        replicas: 1 or 2; schemes are trained on one alone.
        how: "compiled" by XLA, or "eager", which takes no time to compile.
        names: Of balancers and schemes; all, if none is named.
    """
    return arrays_of(PROGRAM, replicas, how, *names)
