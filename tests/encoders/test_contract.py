"""One contract for every encoder: trains with every kind of task it can, and survives the disk."""

import json

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import data, encoders, tasks

WORDS = ["play", "jazz", "book", "a", "table", "for", "two"]


def text_rows(rng, n=32):
    tokens = [list(rng.choice(WORDS, rng.integers(1, 6))) for _ in range(n)]
    return data.Examples(
        {"tokens": tokens},
        {
            "t": np.array(["jazz" in row for row in tokens]),
            "tags": [[int(w == "two") for w in row] for row in tokens],
        },
    )


def raw_rows(rng, n=32):
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 6))) for _ in range(n)]
    return data.Examples({"text": texts}, {"t": np.array(["jazz" in t for t in texts])})


def vector_rows(rng, n=32):
    x = rng.normal(size=(n, 6))
    return data.Examples({"features": x}, {"t": x[:, 0] > 0})


def picture_rows(rng, n=32):
    x = rng.random((n, 8, 8, 1))
    return data.Examples({"image": x}, {"t": x[:, :4].mean((1, 2, 3)) > x[:, 4:].mean((1, 2, 3))})


def table_rows(rng, n=32):
    age = np.where(rng.random(n) < 0.2, np.nan, rng.uniform(18, 80, n))
    job = rng.choice(["cook", "judge", ""], n)
    return data.from_frame(
        {"age": age, "job": job, "t": job == "judge"}, ["age", "job"], {"t": "t"}
    )


def vectorizer():
    layer = keras.layers.TextVectorization()
    layer.adapt(["play jazz book a table for two"])
    return layer


CASES = {
    "Dense": (vector_rows, lambda r: encoders.Dense(6, units=[8, 4], dropout=0.1)),
    "Image-cnn": (picture_rows, lambda r: encoders.Image((8, 8, 1), filters=[4], units=8)),
    "Image-resnet": (picture_rows, lambda r: encoders.Image((8, 8, 1), "resnet", filters=[4, 8])),
    "Pretrained": (
        picture_rows,
        lambda r: encoders.Pretrained("MobileNet", weights=None, size=(32, 32), channels=1),
    ),
    "Tabular": (table_rows, lambda r: encoders.Tabular.infer(r.inputs, units=[8])),
    "Text-bilstm": (text_rows, lambda r: encoders.Text(WORDS, units=8, embedding=8, characters=6)),
    "Text-cnn": (text_rows, lambda r: encoders.Text(WORDS, "cnn", units=8, embedding=8)),
    "Text-transformer": (text_rows, lambda r: encoders.Text(WORDS, "transformer", units=8, embedding=8)),
    "Text-raw": (raw_rows, lambda r: encoders.Text(vectorizer(), "cnn", units=8, embedding=8)),
}  # fmt: skip


def test_every_encoder_of_the_package_is_held_to_the_contract():
    kinds = set(encoders.__all__) - {"Encoder", "PreprocessingEncoder", "Numeric", "Categorical"}
    assert {name.split("-")[0] for name in CASES} == kinds


@pytest.fixture(params=sorted(CASES))
def case(request, rng):
    rows_of, make = CASES[request.param]
    rows = rows_of(rng)
    kinds = [tasks.Binary("t")]
    if "tags" in rows.labels:
        kinds.append(tasks.SequenceTagging("tags", ["O", "B-number"]))
    return rows, keras_mtl.build_model(make(rows), kinds)


def test_it_trains_and_survives_the_disk(case, tmp_path):
    rows, model = case
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(rows.dataset(8, shuffle=True, seed=0), epochs=6, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    batches = rows.dataset(8)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for inputs, _ in batches:
        for name, out in model.predict_on_batch(inputs).items():
            np.testing.assert_array_equal(out, loaded.predict_on_batch(inputs)[name])


def test_what_a_client_may_prepare_is_what_is_described(case):
    """Half by half as in one go, with nothing that JSON cannot hold."""
    rows, model = case
    (encoder,) = [layer for layer in model.layers if isinstance(layer, encoders.Encoder)]
    assert encoder.preprocesses == isinstance(encoder, encoders.PreprocessingEncoder)
    assert encoder.preprocesses == (not isinstance(encoder, (encoders.Dense, encoders.Image)))
    if not encoder.preprocesses:
        return
    inputs = dict(next(iter(rows.dataset(4)))[0])
    given = inputs if isinstance(encoder, encoders.Tabular) else next(iter(inputs.values()))
    prepared = encoder.preprocess(given)
    told = json.loads(json.dumps(encoder.describe_preprocessing(), allow_nan=False))
    assert list(told) == list(prepared)
    for name, values in prepared.items():
        assert len(values) == 4 and told[name]["what"]
        below = told[name].get("ids_below")
        assert (below is None) == ("float" in str(values.dtype))
        assert below is None or 0 <= np.min(values) <= np.max(values) < below
    halves = keras.tree.flatten(encoder.encode(prepared, training=False))
    for one, other in zip(halves, keras.tree.flatten(encoder(given)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_works_in_mixed_precision(request, rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        for name in ("Dense", "Tabular", "Text-cnn", "Text-transformer"):
            rows_of, make = CASES[name]
            rows = rows_of(rng)
            model = keras_mtl.build_model(make(rows), [tasks.Binary("t")])
            rows.labels.pop("tags", None)
            model.compile("adam")
            loss = model.fit(rows.dataset(8), verbose=0).history["loss"]
            assert np.isfinite(loss).all(), name
    finally:
        keras.config.set_dtype_policy("float32")


def test_answers_do_not_depend_on_the_batch_they_came_in(case):
    """Padding beside a longer row changes nothing."""
    rows, model = case
    whole = model.predict_on_batch(next(iter(rows.dataset(len(rows))))[0])
    for i, (inputs, _) in enumerate(rows.dataset(1).take(8)):
        alone = model.predict_on_batch(inputs)
        for name, out in alone.items():
            length = out.shape[1]
            np.testing.assert_allclose(out[0], whole[name][i][:length], rtol=1e-4, atol=1e-6)
