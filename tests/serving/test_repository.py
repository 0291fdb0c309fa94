"""The versions of a folder: the newest good one serves, and none is closed under a request."""

import shutil

import numpy as np
import pytest

from keras_mtl.serving._errors import ServingError
from keras_mtl.serving._repository import Repository
from tests.serving import saved_models
from tests.serving.saved_models import Numbered, write_version

NEVER = 3600.0
X = {"x": np.zeros((1, 2), "float32")}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "numbered"
    folder.mkdir()
    write_version(folder, 1, Numbered(1))
    return folder


@pytest.fixture
def repository(folder):
    repository = Repository(folder, poll=NEVER)
    yield repository
    repository.close()


def answer(repository, version=None):
    with repository.use(version) as servable:
        return servable.run("serving_default", X)["y"][0, 0]


def states(repository):
    return {entry["version"]: entry["state"] for entry in repository.status()}


def test_the_newest_version_serves_and_other_names_are_passed_over(folder):
    write_version(folder, 10, Numbered(10))
    write_version(folder, 9, Numbered(9))
    (folder / ".exporting-1-host-x").mkdir()
    (folder / "notes").mkdir()
    (folder / "11").write_text("a file")
    repository = Repository(folder, poll=NEVER)
    assert repository.name == "numbered"
    assert answer(repository) == answer(repository, 10) == 10
    assert repository.status() == [{"version": "10", "state": "AVAILABLE", "error": ""}]
    with pytest.raises(
        ServingError, match="'numbered' has no version 9; it serves version 10"
    ) as e:
        answer(repository, 9)
    assert e.value.code == "NOT_FOUND"
    with pytest.raises(ServingError, match="no version 9"):
        repository.status(9)
    repository.close()


def test_a_new_version_takes_over_and_the_old_one_ends_with_its_last_request(repository, folder):
    with repository.use() as old:
        write_version(folder, 2, Numbered(2))
        shutil.rmtree(folder / "1")
        repository.look()
        assert answer(repository) == 2
        assert old.run("serving_default", X)["y"][0, 0] == 1, "a request that began with it"
        assert states(repository) == {"2": "AVAILABLE", "1": "UNLOADING"}
    assert states(repository) == {"2": "AVAILABLE"}
    with pytest.raises(ServingError, match=r"[Ss]ession has been closed"):
        old.run("serving_default", X)


def test_a_damaged_version_is_reported_and_the_last_good_one_goes_on(repository, folder, tmp_path):
    whole = write_version(tmp_path, 2, Numbered(2))
    saved_models.damage(saved_models.copy(whole, folder, 2))
    for _ in range(2):
        repository.look()
        assert answer(repository) == 1
        bad, good = repository.status()
        assert (bad["version"], bad["state"]) == ("2", "END")
        assert "is no SavedModel that can be run" in bad["error"]
        assert good == {"version": "1", "state": "AVAILABLE", "error": ""}
    shutil.rmtree(folder / "1")
    repository.look()
    assert answer(repository) == 1, "what is in memory is better than nothing"
    # As a slow copy comes to its end: the files change.
    shutil.rmtree(folder / "2")
    whole.rename(folder / "2")
    repository.look()
    assert answer(repository) == 2
    assert states(repository) == {"2": "AVAILABLE"}


def test_a_damaged_version_is_not_tried_again_until_its_files_change(
    repository, folder, monkeypatch
):
    (folder / "2").mkdir()
    tried = []
    monkeypatch.setattr(
        "keras_mtl.serving._repository.Servable",
        lambda path: (
            tried.append(path.name)
            or (_ for _ in ()).throw(ServingError("FAILED_PRECONDITION", "broken"))
        ),
    )
    for _ in range(3):
        repository.look()
    assert tried == ["2"]
    (folder / "2" / "saved_model.pb").write_text("")
    repository.look()
    assert tried == ["2", "2"]
    assert repository.status()[0]["error"] == "broken"


def test_a_version_whose_warm_up_fails_does_not_serve(repository, folder):
    version = write_version(folder, 2, Numbered(2))
    (version / "assets.extra").mkdir()
    pytest.importorskip("tensorflow_serving.apis")
    (version / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no record" * 9)
    repository.look()
    assert answer(repository) == 1
    assert "cannot be replayed" in repository.status()[0]["error"]


def test_versions_that_vanish_are_closed(repository, folder):
    write_version(folder, 2, Numbered(2))
    repository.look()
    shutil.rmtree(folder / "2")
    repository.look()
    assert answer(repository) == 1, "the one that is left"
    shutil.rmtree(folder / "1")
    repository.look()
    assert not repository.ready and repository.status() == []
    with pytest.raises(ServingError, match="'numbered' has no version that is ready"):
        answer(repository)
    write_version(folder, 7, Numbered(7))
    repository.look()
    assert repository.ready and answer(repository) == 7


def test_an_empty_folder_waits_for_its_first_version(tmp_path):
    repository = Repository(tmp_path, "later", poll=NEVER)
    assert not repository.ready
    write_version(tmp_path, 1, Numbered(3))
    repository.look()
    assert answer(repository) == 3
    repository.close()


def test_requests_for_another_model_are_told_the_name(repository):
    repository.check_name("numbered")
    repository.check_name("")
    with pytest.raises(ServingError, match="There is no model 'other'; this server has 'numbered'"):
        repository.check_name("other")


def test_a_folder_that_is_none_or_one_version_is_refused_with_the_mend(folder):
    with pytest.raises(ValueError, match=r"nowhere', which is no folder; expected the folder of"):
        Repository(folder / "nowhere")
    with pytest.raises(ValueError, match=r"is one version; expected the folder .*numbered'"):
        Repository(folder / "1")
