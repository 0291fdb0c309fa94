"""One small exported model, and what it answers, for all tests of serving."""

import pytest

from tests.serving import saved_models


@pytest.fixture(scope="session")
def songs(tmp_path_factory):
    """The model, the folder of its one version, and what `model.predict` says of SONGS."""
    folder = tmp_path_factory.mktemp("models") / "songs"
    model, _ = saved_models.exported(folder)
    return model, folder, saved_models.predicted(model)
