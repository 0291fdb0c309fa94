"""The packages that only a server needs, asked for in one place."""

from keras_mtl._extra import extra_module

_PACKAGES = ("fastapi", "uvicorn", "grpc", "prometheus_client", "tensorflow_serving.apis")


def need_serve_extra() -> None:
    """Raises an ImportError that names the extra, if one of the server's packages is not there."""
    for package in _PACKAGES:
        extra_module(package, "serve", "keras_mtl.serving")
