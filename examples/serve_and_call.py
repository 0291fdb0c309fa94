"""From a trained model to answers outside of Python, and how far they are from `model.predict`.

Trains a model of handwritten digits (scikit-learn's) and one of requests to a voice assistant
(SNIPS), exports them, starts `keras-mtl serve` on each as a process of its own, and calls it over
REST and gRPC. Then other programs run the same files, each in a process that can import neither
keras_mtl nor Keras: TensorFlow's TF1 loader (the path that TF Serving takes), saved_model_cli,
OpenVINO, and, for what `export.litert` and `export.onnx` write, LiteRT and ONNX Runtime. Printed is
the largest difference from `model.predict` of any number of any task; above 1e-5 it fails.

Run: pip install "keras-mtl[serve,litert,onnx]" openvino openvino-tokenizers
     python examples/serve_and_call.py --models digits snips   (SNIPS: set KERAS_MTL_DATA, or download)
"""

import argparse
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import typing
from collections.abc import Callable, Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_mtl
from keras_mtl import encoders, export, serving, tasks

LIMIT = 1e-5
ROWS = 20
Arrays = dict[str, np.ndarray]

# Each reads FILE and in.npz of the folder it is given, and writes out.npz there.
READER = """
import sys
for name in {blocked}:
    sys.modules[name] = None
import numpy as np
path, folder = sys.argv[1:]
given = dict(np.load(folder + "/in.npz"))
{body}
np.savez(folder + "/out.npz", **{{name: np.asarray(value) for name, value in answers.items()}})
"""
TF1_LOADER = """
import tensorflow as tf
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], path)
    signature = graph.signature_def["serving_default"]
    feed = {t.name: given[name] for name, t in signature.inputs.items()}
    answers = session.run({name: t.name for name, t in signature.outputs.items()}, feed)
"""
SAVED_MODEL_CLI = """
import contextlib, glob, os
from tensorflow.python.tools import saved_model_cli
inputs = ";".join(f"{name}={folder}/in.npz[{name}]" for name in given)
sys.argv[1:] = ["run", "--dir", path, "--tag_set", "serve", "--signature_def", "serving_default",
                "--inputs", inputs, "--outdir", folder + "/cli"]
with contextlib.suppress(SystemExit):
    saved_model_cli.main()
answers = {os.path.basename(f)[:-4]: np.load(f) for f in glob.glob(folder + "/cli/*.npy")}
"""
# Some processors would compute in bfloat16. Texts go row by row: of several rows at once,
# openvino-tokenizers 2026.4 makes other answers than TensorFlow.
OPENVINO = """
import openvino
text = [name for name in given if given[name].dtype.kind == "U"]
if text:
    import openvino_tokenizers
hint = {"INFERENCE_PRECISION_HINT": "f32"}
model = openvino.Core().compile_model(path, "CPU", hint)
rows = len(next(iter(given.values())))
size = 1 if text else rows
parts = []
for i in range(0, rows, size):
    found = model({name: value[i : i + size] for name, value in given.items()})
    parts.append({port.get_any_name(): np.array(value) for port, value in found.items()})
answers = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
"""
LITERT = """
from ai_edge_litert.interpreter import Interpreter
answers = Interpreter(model_path=path).get_signature_runner("serving_default")(**given)
"""
ONNX_RUNTIME = """
import onnxruntime
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
answers = dict(zip(names, session.run(names, given)))
"""


class Trained(typing.NamedTuple):
    """A model, and rows to ask it."""

    model: keras_mtl.MultiTaskModel
    inputs: Arrays


def digits() -> Trained:
    """Two overlapping digits on a canvas."""
    train, _, test = keras_mtl.datasets.multi_digits()
    model = keras_mtl.build_model(
        encoders.Image((12, 12, 1), filters=(16, 32), units=64),
        [tasks.MultiClass(name, 10) for name in ("left", "right")],
    )
    model.compile("adam")
    model.fit(train.dataset(32, shuffle=True, seed=0), epochs=5, verbose=0)
    print(keras_mtl.evaluate(model, test))
    return Trained(model, {"image": test.inputs["image"][:ROWS]})


def snips() -> Trained:
    """What somebody asked for, and the words that say about what; a short training."""
    train, _, test = keras_mtl.datasets.snips()
    model = keras_mtl.build_model(
        encoders.Text(train.vocabulary, "cnn", units=96, embedding=96),
        [tasks.MultiClass("intent", train.intents), tasks.SequenceTagging("slots", train.tags)],
    )
    model.compile("adam")
    model.fit(train.dataset(32, shuffle=True, seed=0, bucket=True), epochs=2, verbose=0)
    print(keras_mtl.evaluate(model, test))
    inputs, _ = next(iter(test.dataset(ROWS)))
    return Trained(model, {"tokens": np.char.decode(inputs["tokens"].numpy().astype("S"), "utf-8")})


def predict(trained: Trained) -> Arrays:
    """What `model.predict` answers."""
    tensors = {name: tf.constant(value) for name, value in trained.inputs.items()}
    return {k: np.asarray(v) for k, v in trained.model.predict(tensors, verbose=0).items()}


@contextlib.contextmanager
def served(folder: pathlib.Path) -> Iterator[tuple[int, int]]:
    """`keras-mtl serve` on free ports, of REST and of gRPC; ended by SIGTERM."""
    command = [sys.executable, "-c", "from keras_mtl.cli import main; main()", "serve", str(folder)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--grpc-port", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        said, ports = "", []
        while len(ports) < 2:
            line = process.stderr.readline()
            said += line
            if not line:
                raise SystemExit(f"keras-mtl serve ended before it listened:\n{said}")
            ports += [int(port) for port in re.findall(r"^(?:REST|gRPC): .*?:(\d+)(?:/|$)", line)]
        print(f"keras-mtl serve {folder}: REST on port {ports[0]}, gRPC on port {ports[1]}")
        yield ports[0], ports[1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    print(f"keras-mtl serve has ended with exit code {process.returncode}")


def elsewhere(body: str, path: pathlib.Path, inputs: Arrays, tensorflow: bool = False) -> Arrays:
    """What another program answers, in a process without keras_mtl, Keras and perhaps TensorFlow."""
    blocked = ["keras_mtl", "keras", *([] if tensorflow else ["tensorflow"])]
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/in.npz", **inputs)
        script = READER.format(blocked=blocked, body=body)
        done = subprocess.run(
            [sys.executable, "-c", script, str(path), folder], capture_output=True, text=True
        )
        if done.returncode:
            error = done.stderr.strip().splitlines()[-1]
            raise (ImportError if "ModuleNotFoundError" in error else RuntimeError)(error)
        return dict(np.load(f"{folder}/out.npz"))


def ways(trained: Trained, version: pathlib.Path) -> dict[str, Callable[[], Arrays]]:
    """Every other way to an answer, by its name."""
    model, inputs, beside = trained.model, trained.inputs, version.parent
    return {
        "TF1 loader": lambda: elsewhere(TF1_LOADER, version, inputs, tensorflow=True),
        "saved_model_cli": lambda: elsewhere(SAVED_MODEL_CLI, version, inputs, tensorflow=True),
        "OpenVINO": lambda: elsewhere(OPENVINO, version, inputs),
        "LiteRT": lambda: elsewhere(
            LITERT, export.litert(model, beside / "model.tflite").path, inputs
        ),
        "ONNX Runtime": lambda: elsewhere(
            ONNX_RUNTIME, export.onnx(model, beside / "model.onnx").path, inputs
        ),
    }


def largest(expected: Arrays, answers: Arrays) -> float:
    """The largest difference of any number of any task."""
    if {k: v.shape for k, v in expected.items()} != {k: v.shape for k, v in answers.items()}:
        raise RuntimeError(f"other outputs came: {sorted(answers)}")
    return max(float(np.abs(answers[name] - expected[name]).max()) for name in expected)


def show(name: str, trained: Trained, folder: pathlib.Path) -> list[str]:
    """Exports, serves, calls and compares; returns the ways that failed or were too far off."""
    version = export.saved_model(trained.model, folder / name)
    expected = predict(trained)
    differences: dict[str, float] = {}
    without: dict[str, str] = {}
    with served(folder / name) as (rest, grpc):
        for way, url in ("REST", f"http://127.0.0.1:{rest}"), ("gRPC", f"grpc://127.0.0.1:{grpc}"):
            with serving.Client(url, model=name) as client:
                differences[way] = largest(expected, client.predict(trained.inputs))
                labels = client.predict(trained.inputs, signature="serving_labels")
        asked = next(iter(trained.inputs.values()))[0]
        if asked.dtype.kind == "U":
            print(" ".join(asked).strip())
        words = np.char.str_len(asked).astype(bool).sum() if asked.dtype.kind == "U" else None
        print(", ".join(f"{k}: {' '.join(np.atleast_1d(v[0])[:words])}" for k, v in labels.items()))
    for way, answer in ways(trained, version).items():
        try:
            differences[way] = largest(expected, answer())
        except RuntimeError as error:
            differences[way], without[way] = float("inf"), f"failed: {error}"
        except (ImportError, ValueError) as error:
            # Not installed, or not for models of texts.
            without[way] = f"left out: {str(error).partition(';')[0]}"
    print(f"\n{name}, {ROWS} rows: the largest difference from model.predict")
    for way in [*differences, *(w for w in without if w not in differences)]:
        print(f"  {way:16} {without.get(way) or format(differences[way], '.1e')}")
    print(flush=True)
    return [way for way, found in differences.items() if found > LIMIT]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = {"digits": digits, "snips": snips}
    parser.add_argument("--models", nargs="+", choices=list(known), default=list(known))
    parser.add_argument("--out", help="where the exports stay; else they are removed")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    tf.get_logger().setLevel("ERROR")
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(arguments.out or scratch)
        off = [f"{n} {way}" for n in arguments.models for way in show(n, known[n](), folder)]
    if off:
        raise SystemExit(f"No answer, or further than {LIMIT} from model.predict: {', '.join(off)}")


if __name__ == "__main__":
    main()
