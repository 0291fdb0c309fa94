"""Two processes that train one model together, over the loopback (`MultiWorkerMirroredStrategy`)."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Sequence

import numpy as np

PROGRAM = textwrap.dedent(
    """
    import contextlib, os, signal, sys
    import tensorflow as tf

    folder, workers, dies_in, names = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    strategy = tf.distribute.MultiWorkerMirroredStrategy() if workers > 1 else None
    me = strategy.cluster_resolver.task_id if workers > 1 else 0
    import keras, numpy as np
    import keras_mtl
    from keras_mtl import balancing, callbacks
    from tests.models import compiled, rows

    class Dies(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if me == 1 and self.model.optimizer.iterations.numpy() == dies_in:
                os.kill(os.getpid(), signal.SIGKILL)

    x, y = rows(96)
    y["a_kind"][8:20] = -1
    y["m_sold"][:32] = np.nan  # no label in the first batch
    valid = tf.data.Dataset.from_tensor_slices((x[:16], {n: v[:16] for n, v in y.items()}))
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    data, valid = data.with_options(options), valid.batch(8).with_options(options)
    found = {}
    for name in names:
        with strategy.scope() if strategy else contextlib.nullcontext():
            given = None if name == "none" else balancing.get(name)
            model = compiled(seed=1, optimizer=keras.optimizers.Adam(0.01), balancer=given)
        watching = [
            callbacks.TensorBoard(f"{folder}/{me}/logs/{name}"),
            keras.callbacks.BackupAndRestore(f"{folder}/{me}/backup/{name}"), Dies(),
        ]
        history = model.fit(data, validation_data=valid, epochs=3, verbose=0, callbacks=watching)
        for key, values in history.history.items():
            found[f"{name} history {key}"] = values
        for i, value in enumerate(model.get_weights()):
            found[f"{name} {i}"] = value
    np.savez(f"{folder}/{me}.npz", **found)
    """
)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def train(folder: pathlib.Path, workers: int, names: Sequence[str], dies_in: int = -1) -> list[int]:
    """Runs as many workers to their end, and returns their exit codes.

    Args:
        folder: Where each leaves `<number>.npz` with its weights and history.
        workers: How many; 1 trains without a strategy.
        names: The balancers, one model each; "none" is one too.
        dies_in: At which optimizer step the second one kills itself; its fellow is then ended too, as
            whoever runs a cluster does.
    """
    folder.mkdir(exist_ok=True)
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    running = []
    for i in range(workers):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}}
        environment = {
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.getcwd(),
            **({"TF_CONFIG": json.dumps(cluster)} if workers > 1 else {}),
        }
        with open(folder / f"{i}.log", "w") as log:
            running.append(
                subprocess.Popen(
                    [sys.executable, "-c", PROGRAM, str(folder), str(workers), str(dies_in), *names],
                    env=environment, stdout=log, stderr=subprocess.STDOUT,
                )
            )  # fmt: skip
    for one in reversed(running):
        if one.wait(timeout=300) == -signal.SIGKILL:
            running[0].kill()
    return [one.wait(timeout=300) for one in running]


def result(folder: pathlib.Path, worker: int) -> dict[str, np.ndarray]:
    """What a worker left."""
    with np.load(folder / f"{worker}.npz") as found:
        return dict(found)
