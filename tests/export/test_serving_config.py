"""TF Serving's configuration, parsed by its own schema, and the calls, sent as they are written."""

import pathlib
import sys

import pytest
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)

from keras_mtl import export

pytest.importorskip("tensorflow_serving")

# Apart from tensorflow-serving-api, which does not have them: the fields that TF Serving's
# session_bundle_config.proto and monitoring_config.proto declare.
WRAPPED = "google.protobuf.Int64Value"
SCHEMA = {
    "BatchingParameters": [
        ("max_batch_size", WRAPPED),
        ("batch_timeout_micros", WRAPPED),
        ("max_enqueued_batches", WRAPPED),
        ("num_batch_threads", WRAPPED),
        ("thread_pool_name", "google.protobuf.StringValue"),
        ("allowed_batch_sizes", "repeated int64"),
        ("pad_variable_length_inputs", "bool"),
    ],
    "PrometheusConfig": [("enable", "bool"), ("path", "string")],
    "MonitoringConfig": [("prometheus_config", "tensorflow.serving.PrometheusConfig")],
}


def parsed(kind: str, path: pathlib.Path):
    """A file read as TF Serving reads it: a field that it does not know is an error."""
    field = descriptor_pb2.FieldDescriptorProto
    plain = {"bool": field.TYPE_BOOL, "string": field.TYPE_STRING, "int64": field.TYPE_INT64}
    file = descriptor_pb2.FileDescriptorProto(
        name="test/tf_serving.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for number, (key, told) in enumerate(fields, start=1):
            made = message.field.add(name=key, number=number, label=field.LABEL_OPTIONAL)
            if told.startswith("repeated "):
                told, made.label = told.removeprefix("repeated "), field.LABEL_REPEATED
            if told in plain:
                made.type = plain[told]
            else:
                made.type, made.type_name = field.TYPE_MESSAGE, f".{told}"
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pool.Default().FindFileByName("google/protobuf/wrappers.proto")
    pool.AddSerializedFile(wrappers.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindMessageTypeByName(f"tensorflow.serving.{kind}")
    return text_format.Parse(path.read_text(), message_factory.GetMessageClass(found)())


def models_of(out: pathlib.Path) -> dict[str, str]:
    from tensorflow_serving.config import model_server_config_pb2

    message = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((out / "models.config").read_text(), message)
    found = list(message.model_config_list.config)
    assert all(config.model_platform == "tensorflow" for config in found)
    return {config.name: config.base_path for config in found}


def server_of(out: pathlib.Path) -> dict:
    (server,) = yaml.safe_load((out / "docker-compose.yml").read_text())["services"].values()
    return server


def test_the_models_are_found_and_mounted_where_the_configuration_says(
    serving_folder, served_models
):
    assert models_of(serving_folder) == {
        "digits-2.0": "/models/digits-2.0",
        "songs": "/models/songs",
    }
    server = server_of(serving_folder)
    assert server["image"] == "tensorflow/serving:latest"
    mounted = {v["target"]: serving_folder / v["source"] for v in server["volumes"]}
    assert all(v["type"] == "bind" and v["read_only"] is True for v in server["volumes"])
    assert mounted.pop("/config").samefile(serving_folder)
    assert set(mounted) == set(models_of(serving_folder).values())
    for target, source in mounted.items():
        assert source.samefile(served_models / pathlib.Path(target).name)
    for told in server["volumes"]:
        assert not pathlib.PurePath(told["source"]).is_absolute(), "both may be moved together"
    assert all(port.startswith("127.0.0.1:") for port in server["ports"]), "nobody else's"


def test_every_file_that_the_server_is_told_to_read_is_there_and_parses(
    serving_folder, served_models
):
    flags = dict(f.removeprefix("--").split("=") for f in server_of(serving_folder)["command"])
    assert flags == {
        "model_config_file": "/config/models.config",
        "monitoring_config_file": "/config/monitoring.config",
    }, "rows of free length are not joined"
    monitoring = parsed("MonitoringConfig", serving_folder / "monitoring.config")
    assert monitoring.prometheus_config.enable is True
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"

    out = export.serving_config([served_models / "digits-2.0"], served_models.parent / "joined")
    flags = dict(f.removeprefix("--").split("=") for f in server_of(out)["command"])
    assert flags["enable_batching"] == "true"
    assert flags["batching_parameters_file"] == "/config/batching.config"
    batching = parsed("BatchingParameters", out / "batching.config")
    assert batching.max_batch_size.value == 64
    assert batching.batch_timeout_micros.value == 2000
    assert batching.max_enqueued_batches.value == 100
    assert not batching.HasField("num_batch_threads"), "one a core of the server"


def test_what_is_asked_for_is_written_and_what_no_longer_holds_is_removed(served_models, tmp_path):
    out = export.serving_config(
        served_models / "songs",
        tmp_path / "out",
        batching={"max_batch_size": 8, "batch_timeout_micros": 0, "allowed_batch_sizes": [2, 8]},
        monitoring="/metrics",
        image="tensorflow/serving:2.19.1",
    )
    assert models_of(out) == {"songs": "/models/songs"}
    batching = parsed("BatchingParameters", out / "batching.config")
    assert (batching.max_batch_size.value, batching.batch_timeout_micros.value) == (8, 0)
    assert list(batching.allowed_batch_sizes) == [2, 8]
    assert (
        parsed("MonitoringConfig", out / "monitoring.config").prometheus_config.path == "/metrics"
    )
    assert server_of(out)["image"] == "tensorflow/serving:2.19.1"
    assert (
        "refuses those that it joined and that differ in length" in (out / "CALLS.md").read_text()
    )
    export.serving_config(served_models / "songs", out, batching=False, monitoring=False)
    assert sorted(p.name for p in out.iterdir()) == [
        *("CALLS.md", "docker-compose.yml", "models.config", "requests", "serving.protoset"),
    ]
    assert server_of(out)["command"] == ["--model_config_file=/config/models.config"]


def test_a_folder_with_a_dollar_sign_is_not_a_variable_of_compose(picture_model, tmp_path):
    export.saved_model(picture_model, tmp_path / "$HOME" / "m")
    out = export.serving_config(tmp_path / "$HOME", tmp_path / "out")
    sources = [v["source"] for v in server_of(out)["volumes"]]
    assert "../$$HOME/m" in sources


def test_what_cannot_be_served_is_refused_and_nothing_is_written(
    served_models, picture_model, tmp_path
):
    out = tmp_path / "out"
    (tmp_path / "empty" / "1").mkdir(parents=True)
    export.saved_model(picture_model, tmp_path / "a name")
    other = tmp_path / "other" / "songs"
    export.saved_model(picture_model, other)
    for given, told in [
        (tmp_path / "nowhere", "no folder is"),
        (tmp_path / "empty", "no model is"),
        ([tmp_path / "empty"], "holds no version"),
        ([], "no model is"),
        (3, "expected a folder or a list"),
        ([tmp_path / "a name"], "'a name', which is no name for an address"),
        ([served_models / "songs", other], "'songs', which two are"),
    ]:
        with pytest.raises(ValueError, match=told):
            export.serving_config(given, out)
    for batching, told in [
        ({"max_batchsize": 3}, "max_batchsize"),
        ({"max_batch_size": 0}, "max_batch_size 0; expected a whole number of at least 1"),
        ({"batch_timeout_micros": 0.5}, "batch_timeout_micros 0.5"),
        ({"allowed_batch_sizes": [2, 32]}, "expected them to rise to max_batch_size, 64"),
        ({"allowed_batch_sizes": [8, 4, 64]}, "expected them to rise"),
        ({"pad_variable_length_inputs": True}, "answers change"),
    ]:
        with pytest.raises(ValueError, match=told):
            export.serving_config(served_models, out, batching=batching)
    with pytest.raises(ValueError, match="begins with '/'"):
        export.serving_config(served_models, out, monitoring="metrics")
    assert not out.exists()


def test_without_the_extra_it_is_named(served_models, tmp_path, monkeypatch):
    for module in [m for m in sys.modules if m.split(".")[0] == "tensorflow_serving"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    with pytest.raises(ImportError, match=r'pip install "keras-mtl\[serve\]"'):
        export.serving_config(served_models, tmp_path / "out")
    assert not (tmp_path / "out").exists()
