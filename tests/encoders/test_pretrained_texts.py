"""Pretrained on texts: small language models of KerasHub, made on the spot and at random."""

import io
import json
import shutil
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_mtl
from keras_mtl import encoders, export, tasks
from keras_mtl.encoders._pieces import of_words, packed
from tests.encoders._served import assert_served

# Word pieces.


def test_pieces_of_words_become_rows():
    ids = [[[5, 6, 0], [7, 0, 0], [8, 9, 10]], [[7, 0, 0], [0, 0, 0], [0, 0, 0]]]
    lengths = [[2, 1, 3], [1, 0, 0]]
    rows = packed(np.array(ids), np.array(lengths), start=1, end=2, pad=0, longest=20)
    np.testing.assert_array_equal(rows.ids, [[1, 5, 6, 7, 8, 9, 10, 2], [1, 7, 2, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(rows.mask, [[True] * 8, [True] * 3 + [False] * 5])
    np.testing.assert_array_equal(rows.firsts, [[1, 3, 4], [1, -1, -1]])
    # Room for four pieces: the last word is begun, and has its first piece.
    rows = packed(np.array(ids), np.array(lengths), start=1, end=2, pad=0, longest=6)
    np.testing.assert_array_equal(rows.ids, [[1, 5, 6, 7, 8, 2], [1, 7, 2, 0, 0, 0]])
    np.testing.assert_array_equal(rows.firsts, [[1, 3, 4], [1, -1, -1]])
    # Room for three, nothing before and behind, and another padding.
    rows = packed(np.array(ids), np.array(lengths), start=None, end=None, pad=99, longest=3)
    np.testing.assert_array_equal(rows.ids, [[5, 6, 7], [7, 99, 99]])
    np.testing.assert_array_equal(rows.firsts, [[0, 2, -1], [0, -1, -1]])


def test_a_word_has_the_features_of_its_first_piece_or_none():
    features = np.arange(12.0).reshape(1, 4, 3)
    found = of_words(ops.convert_to_tensor(features), ops.convert_to_tensor([[3, -1, 1]]))
    np.testing.assert_array_equal(found, [[features[0, 3], [0, 0, 0], features[0, 1]]])


# Texts.

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "play",
    "jazz",
    "##y",
    "book",
    "a",
    "two",
    ",",
]
TEXTS = ["Play jazzy, two", "book", "a jazz book, a jazzy book"]


@pytest.fixture(scope="module")
def hub():
    return pytest.importorskip(
        "keras_hub", reason='texts are read with KerasHub: pip install "keras-mtl[text]"'
    )


@pytest.fixture(scope="module")
def bert(hub, tmp_path_factory):
    """The folder of a small BERT, and its backbone and tokenizer."""
    keras.utils.set_random_seed(1)
    tokenizer = hub.models.BertTokenizer(vocabulary=PIECES, lowercase=True)
    backbone = hub.models.BertBackbone(len(PIECES), 1, 2, 8, 16, max_sequence_length=32)
    return saved(backbone, tokenizer, tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def roberta(hub, tmp_path_factory):
    """The same with pairs of bytes, where the space is a part of a word."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = sorted({letter for text in TEXTS for letter in text.replace(" ", "Ġ")})
    merges = ["j a", "z z", "Ġ ja", "Ġja zz", "ja zz"]
    known = [*special, *letters, *(merge.replace(" ", "") for merge in merges)]
    tokenizer = hub.models.RobertaTokenizer(
        vocabulary={piece: i for i, piece in enumerate(known)}, merges=merges
    )
    backbone = hub.models.RobertaBackbone(len(known), 1, 2, 8, 16, max_sequence_length=32)
    return saved(backbone, tokenizer, tmp_path_factory.mktemp("roberta"))


def saved(backbone, tokenizer, folder):
    for variable in backbone.trainable_variables:
        variable.assign(keras.random.normal(variable.shape, stddev=0.5))
    backbone.save_to_preset(str(folder))
    tokenizer.save_to_preset(str(folder))
    return types.SimpleNamespace(folder=folder, backbone=backbone, tokenizer=tokenizer)


def strings(rows):
    return ops.convert_to_tensor(np.array(rows), dtype="string")


def in_graph(encoder, rows):
    """Features and mask as a compiled model has them."""
    inputs = list(encoder.make_inputs().values())
    return keras.Model(inputs, encoder(inputs[0])).predict_on_batch(strings(rows))


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_texts_are_read_as_keras_hub_reads_them(name, hub, request):
    made = request.getfixturevalue(name)
    features, mask = in_graph(encoders.Pretrained(made.folder), TEXTS)
    kind = {"bert": "Bert", "roberta": "Roberta"}[name]
    prepare = getattr(hub.models, f"{kind}TextClassifierPreprocessor")
    peer = prepare(made.tokenizer, sequence_length=32)(TEXTS)
    expected = made.backbone(peer)
    expected = expected["sequence_output"] if isinstance(expected, dict) else expected
    longest = np.asarray(peer["padding_mask"]).sum(-1).max()
    assert features.shape == (3, longest, 8), "cut to the longest row"
    there = np.asarray(peer["padding_mask"])[:, :longest].astype(bool)
    np.testing.assert_array_equal(mask, there)
    expected = np.asarray(expected)[:, :longest][there]
    np.testing.assert_allclose(features[there], expected, rtol=1e-4, atol=1e-5)
    encoder = encoders.Pretrained(made.folder)
    alone, _ = encoder(strings(TEXTS[1:2]))
    length = there[1].sum()
    assert alone.shape[1] == length, "no longer row, no padding"
    np.testing.assert_allclose(alone[0], features[1, :length], rtol=1e-4, atol=1e-5)
    eager, _ = encoder(strings(TEXTS))
    np.testing.assert_allclose(np.asarray(eager)[there], expected, rtol=1e-4, atol=1e-5)


def test_words_have_the_features_of_their_first_pieces(bert):
    text, _ = in_graph(encoders.Pretrained(bert.folder), ["play jazzy , two"])
    rows = [["play", "jazzy", ",", "two"], ["", "", "", ""], ["book", "", "", ""]]
    encoder = encoders.Pretrained(bert.folder, words=True)
    words, mask = in_graph(encoder, rows)
    # [CLS] play jazz ##y , two [SEP]
    np.testing.assert_allclose(words[0], text[0, [1, 2, 4, 5]], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(mask, [[True] * 4, [False] * 4, [True] + [False] * 3])
    assert not words[1].any() and not words[2, 1:].any()
    for one, other in zip(encoder(strings(rows)), (words, mask), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_words_that_there_is_no_room_for_have_none(bert):
    encoder = encoders.Pretrained(bert.folder, words=True, size=5)
    words, mask = in_graph(encoder, [["play", "jazzy", "two"]])
    text, _ = in_graph(encoders.Pretrained(bert.folder), ["play jazzy"])
    assert mask.all() and not words[0, 2].any()
    np.testing.assert_allclose(words[0, :2], text[0, [1, 2]], rtol=1e-4, atol=1e-5)


def test_words_of_byte_pairs_are_told_by_the_space_before_them(roberta):
    text, _ = encoders.Pretrained(roberta.folder)(strings([" jazz jazzy"]))
    text = np.asarray(text)
    words, _ = in_graph(encoders.Pretrained(roberta.folder, words=True), [["jazz", "jazzy", ""]])
    assert text.shape[1] == 5, "<s> Ġjazz Ġjazz y </s>"
    np.testing.assert_allclose(words[0, :2], text[0, [1, 2]], rtol=1e-4, atol=1e-5)


def test_texts_are_read_in_half_precision(bert):
    exact, _ = encoders.Pretrained(bert.folder)(strings(TEXTS))
    encoder = encoders.Pretrained(bert.folder, dtype="mixed_bfloat16")
    half, mask = encoder(strings(TEXTS))
    assert half.dtype == "bfloat16" and encoder.network.backbone.variable_dtype == "float32"
    there = np.asarray(mask)
    apart = np.asarray(half, "float32")[there] - np.asarray(exact)[there]
    assert 0 < np.abs(apart).mean() < 0.03, "of features with mean 0 and variance 1"
    copy = encoders.Pretrained.from_config(encoder.get_config())
    assert copy(strings(TEXTS))[0].dtype == "bfloat16"


@pytest.fixture(scope="module")
def tagger(bert):
    """A trained model of words: a class and tags."""
    keras.utils.set_random_seed(2)
    encoder = encoders.Pretrained(bert.folder, words=True)
    kinds = [tasks.SequenceTagging("slots", ["O", "B-music"]), tasks.Binary("long")]
    model = keras_mtl.build_model(encoder, kinds)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit({"tokens": SONGS}, SONG_LABELS, epochs=60, verbose=0)
    return model


SONGS = np.array([["Play", "jazzy", ",", "two"], ["book", "jazz", "", ""], ["a", "book", "", ""]])
SONG_LABELS = {
    "slots": np.array([[0, 1, 0, 0], [0, 1, -1, -1], [0, 0, -1, -1]]),
    "long": np.array([1, 0, 0]),
}


def test_tags_and_a_class_are_learnt(tagger):
    report = keras_mtl.evaluate(tagger, {"tokens": SONGS}, SONG_LABELS)
    assert report["slots"]["accuracy"] == 1 and report["long"]["accuracy"] == 1


def test_a_model_of_texts_loads_without_the_preset(tagger, bert, tmp_path):
    kept = shutil.move(bert.folder, tmp_path / "elsewhere")
    try:
        tagger.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
    finally:
        shutil.move(kept, bert.folder)
    for name, answer in tagger.predict({"tokens": SONGS}, verbose=0).items():
        np.testing.assert_array_equal(loaded.predict({"tokens": SONGS}, verbose=0)[name], answer)


def test_the_vocabulary_is_in_the_config(roberta):
    """So that a copy, which has no file, can read."""
    encoder = encoders.Pretrained(roberta.folder)
    copy = encoders.Pretrained.from_config(encoder.get_config())
    copy.set_weights(encoder.get_weights())
    for one, other in zip(copy(strings(TEXTS)), encoder(strings(TEXTS)), strict=True):
        np.testing.assert_array_equal(one, other)


# KerasHub leaves it to Python to close the file.
@pytest.mark.filterwarnings("ignore:.*vocabulary.spm:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed file.*vocabulary.spm:ResourceWarning")
def test_sentence_pieces_travel_too(hub, tmp_path):
    proto = io.BytesIO()
    special = {"pad": "<pad>", "unk": "<unk>", "bos": "[CLS]", "eos": "[SEP]"}
    pytest.importorskip("sentencepiece").SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=proto,
        vocab_size=24,
        model_type="WORD",
        hard_vocab_limit=False,
        user_defined_symbols=["[MASK]"],
        minloglevel=2,
        **{f"{name}_id": i for i, name in enumerate(special)},
        **{f"{name}_piece": piece for name, piece in special.items()},
    )
    tokenizer = hub.models.AlbertTokenizer(proto.getvalue())
    backbone = hub.models.AlbertBackbone(
        tokenizer.vocabulary_size(), 1, 2, 4, 8, 16, max_sequence_length=32
    )
    encoder = encoders.Pretrained(saved(backbone, tokenizer, tmp_path).folder)
    features, mask = in_graph(encoder, TEXTS)
    copy = encoders.Pretrained.from_config(encoder.get_config())
    copy.set_weights(encoder.get_weights())
    np.testing.assert_array_equal(in_graph(copy, TEXTS)[0], features)
    np.testing.assert_array_equal(mask.sum(-1), [2 + len(text.split()) for text in TEXTS])


def test_words_are_served_as_they_are(tagger, tmp_path):
    assert_served(tagger.task_model("slots"), {"tokens": SONGS}, tmp_path)


def test_a_client_may_cut_words_itself(tagger, tmp_path):
    """With a tokenizer of its own, here by hand, it needs no operation that cuts words."""
    path = export.saved_model(tagger, tmp_path / "m", preprocessed=True)
    told = json.loads((path / "assets.extra" / "preprocessing.json").read_text())
    pieces = told["token_ids"]
    assert pieces["tokenizer"]["config"]["vocabulary"] == PIECES == PIECES[: pieces["ids_below"]]
    assert (pieces["start_and_end"], pieces["padding"], pieces["longest"]) == ([2, 3], 0, 32)
    rows = [
        ["[CLS]", "play", "jazz", "##y", ",", "two", "[SEP]"],
        ["[CLS]", "book", "jazz", "[SEP]"],
        ["[CLS]", "a", "book", "[SEP]"],
    ]
    filled = [row + ["[PAD]"] * (7 - len(row)) for row in rows]
    served = tf.saved_model.load(str(path)).signatures["serving_preprocessed"]
    given = {
        "token_ids": [[PIECES.index(piece) for piece in row] for row in filled],
        "padding_mask": [[int(piece != "[PAD]") for piece in row] for row in filled],
        "first_pieces": [[1, 2, 4, 5], [1, 2, -1, -1], [1, 2, -1, -1]],
        "word_mask": [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]],
    }
    assert set(told) == set(given)
    answers = served(**{name: tf.constant(values) for name, values in given.items()})
    for name, answer in tagger.predict({"tokens": SONGS}, verbose=0).items():
        np.testing.assert_allclose(answers[name], answer, atol=1e-6)
    given["token_ids"][0][1] = len(PIECES)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`token_ids` .* not from 0 to 11"):
        served(**{name: tf.constant(values) for name, values in given.items()})


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_texts_are_prepared_as_keras_hub_prepares_them(name, hub, request):
    made = request.getfixturevalue(name)
    kind = {"bert": "Bert", "roberta": "Roberta"}[name]
    peer = getattr(hub.models, f"{kind}TextClassifierPreprocessor")
    peer = peer(made.tokenizer, sequence_length=32)(TEXTS)
    encoder = encoders.Pretrained(made.folder)
    prepared = encoder.preprocess(strings(TEXTS))
    assert set(prepared) == set(encoder.describe_preprocessing()) == {"token_ids", "padding_mask"}
    for key, values in prepared.items():
        expected = np.asarray(peer[key])[:, : values.shape[1]]
        np.testing.assert_array_equal(values, expected)
