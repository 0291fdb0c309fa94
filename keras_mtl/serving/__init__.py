"""How a SavedModel answers over the network, and how Python asks: a server and a client.

The server speaks TF Serving's REST API and gRPC services over the version folders that
`export.saved_model` writes, so that what is tried on a laptop is what TF Serving does later, and the
client talks to both. Nothing here knows how a model is built or trained: a folder of this package
imports TensorFlow and the foundation alone, and reads signatures and `assets/labels.json`.

A request goes from a protocol (`rest.py`, `rpc.py`) as arrays by name, `{input: (rows, ...)}`, to the
batcher, which joins rows of one shape, to the servable, which runs the signature's graph and gives
`{output: (rows, ...)}`; the repository says which version that is. Whatever is wrong on the way is a
`ServingError` with one code, which each protocol writes in its own form.

To add a protocol: a file that turns its requests into arrays by a `Signature`, and asks the batcher
within `repository.use(...)`; a line in `server.py` that starts it. Needs
`pip install "keras-mtl[serve]"`.
"""

from keras_mtl.serving._errors import ServingError
from keras_mtl.serving._typed_errors import (
    BadRequest,
    DeadlineExceeded,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from keras_mtl.serving.client import Client
from keras_mtl.serving.server import Server

__all__ = [
    "BadRequest", "Client", "DeadlineExceeded", "NotFound", "Server", "ServingError",
    "Unauthenticated", "Unavailable",
]  # fmt: skip
