"""The packages that only a server needs, asked for in one place."""

import importlib

_PACKAGES = ("fastapi", "uvicorn", "grpc", "prometheus_client", "tensorflow_serving.apis")


def need_serve_extra() -> None:
    """Raises an ImportError that names the extra, if one of the server's packages is not there."""
    for package in _PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ImportError(
                f"keras_mtl.serving needs {package.split('.')[0]!r}, which cannot be imported "
                f'({error}); pip install "keras-mtl[serve]"'
            ) from error
