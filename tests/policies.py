"""Models of another precision than the usual one."""

import contextlib

import keras


@contextlib.contextmanager
def the_policy(name):
    """Runs with a dtype policy for all new layers."""
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(usual)
