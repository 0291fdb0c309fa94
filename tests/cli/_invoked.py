"""Commands, run in this process."""

from typing import Any

from typer.testing import CliRunner

from keras_mtl import cli


def invoke(*arguments: Any, code: int = 0) -> Any:
    """What a command answers; it has to end with this exit code."""
    done = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done
