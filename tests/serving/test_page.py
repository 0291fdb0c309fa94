"""The page at `/`, used in headless Chromium as a person uses it."""

import json
import re
import urllib.parse

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from seqeval.metrics.sequence_labeling import get_entities

import keras_mtl
from keras_mtl import encoders, export, tasks
from tests.export.test_saved_model import TAGS, song_model
from tests.serving import saved_models
from tests.serving.chromium import Chromium

pytest.importorskip("fastapi", reason='pip install "keras-mtl[serve]"')
pytest.importorskip("tensorflow_serving", reason='pip install "keras-mtl[serve]"')

from keras_mtl.serving import Server
from keras_mtl.serving._page import page

SENTENCE = "miles davis play some x"
PERSON = {"age": 30.0, "hours-per-week": 12.5, "job": "cook"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Chromium(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture(autouse=True)
def no_complaints(browser):
    """No script may fail and no policy be broken unseen."""
    browser.complaints.clear()
    yield
    assert browser.complaints == []


class Served:
    """A model and the address of its page."""

    def __init__(self, model, server):
        self.model, self.server = model, server
        self.url = f"http://127.0.0.1:{server.port}/"

    def predict(self, inputs):
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        return {k: np.asarray(v) for k, v in self.model.predict(tensors, verbose=0).items()}


def served(model, folder, **options):
    export.saved_model(model, folder)
    return Server(folder, port=0, grpc_port=0, **options)


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    model = song_model()
    with served(model, tmp_path_factory.mktemp("of") / "songs") as server:
        yield Served(model, server)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    keras.utils.set_random_seed(5)
    columns = {
        "age": {"kind": "numeric", "mean": 30.0, "variance": 4.0},
        "hours-per-week": {"kind": "numeric", "mean": 35.0, "variance": 90.0},
        "job": {"kind": "categorical", "vocabulary": ["cook", "judge"]},
    }
    income = tasks.Regression("income", units="EUR")
    model = keras_mtl.build_model(encoders.Tabular(columns, units=[4]), [income])
    model.adapt({"income": np.array([1000.0, 3000.0])})
    with served(model, tmp_path_factory.mktemp("of") / "people") as server:
        yield Served(model, server)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    keras.utils.set_random_seed(6)
    encoder = encoders.Image((12, 12, 1), filters=(4,), units=8)
    model = keras_mtl.build_model(encoder, [tasks.MultiClass("left", 10)])
    with served(model, tmp_path_factory.mktemp("of") / "digits") as server:
        yield Served(model, server)


def card(browser, task):
    """What one task's card shows: its headline and its bars or table, as a person reads them."""
    return browser.run(
        f"""(() => {{
        const card = [...document.querySelectorAll('.answer')].find(
            (one) => one.getAttribute('aria-label') === 'Answer of ' + {json.dumps(task)});
        const texts = (where) => [...card.querySelectorAll(where)].map((one) => one.textContent);
        return {{said: texts('.said')[0], names: texts('.bars .name'), shares: texts('.bars .share'),
            cells: texts('tbody th, tbody td'), widths: [...card.querySelectorAll('.track div')].map(
            (one) => one.getBoundingClientRect().width / one.parentElement.clientWidth)}};
        }})()"""
    )


def asked(browser, number):
    browser.until(
        f"document.querySelectorAll('#answers:not([hidden]) .answer').length === {number}"
    )


def percents(probabilities):
    return [f"{100 * p:.1f} %" for p in np.float64(probabilities)]


def assert_bars(found, names, probabilities):
    expected = dict(zip(names, probabilities, strict=True))
    assert sorted(found["names"]) == sorted(names)
    for name, share, width in zip(found["names"], found["shares"], found["widths"], strict=True):
        assert abs(float(share.removesuffix(" %")) - 100 * expected[name]) <= 0.051
        assert width == pytest.approx(float(expected[name]), abs=0.01)


def test_a_sentence_typed_by_keyboard_is_answered_by_every_task(browser, songs):
    browser.open(songs.url)
    browser.press("Tab")
    browser.type(SENTENCE)
    browser.press("Enter")
    asked(browser, 6)
    told = songs.predict({"tokens": [SENTENCE.split()]})

    genre = card(browser, "genre")
    assert_bars(genre, ["folk", "jazz", "rock"], told["genre"][0])
    assert genre["said"] == genre["names"][0] == ["folk", "jazz", "rock"][told["genre"].argmax()]
    yes = told["live"][0, 0]
    assert_bars(card(browser, "live"), ["studio", "live"], [1 - yes, yes])
    assert card(browser, "live")["said"] == ["studio", "live"][int(yes > 0.5)]
    stars = card(browser, "stars")
    assert stars["names"] == ["one", "two", "three"], "grades keep their order"
    assert_bars(stars, stars["names"], told["stars"][0])
    moods = ["calm", "glad", "wild"]
    assert_bars(card(browser, "mood"), moods, told["mood"][0])
    there = [mood for mood, p in zip(moods, told["mood"][0], strict=True) if p > 0.5]
    assert card(browser, "mood")["said"] == (", ".join(there) or "none")
    dimensions = card(browser, "length")["cells"]
    assert dimensions[::2] == ["intro", "all"]
    for shown, value in zip(dimensions[1::2], told["length"][0], strict=True):
        assert float(shown.removesuffix(" s")) == pytest.approx(float(value), rel=1e-4)


def test_spans_are_highlighted_as_seqeval_counts_them(browser, songs):
    browser.open(songs.url + "?tokens=" + urllib.parse.quote(SENTENCE))
    asked(browser, 6)
    words = SENTENCE.split()
    told = songs.predict({"tokens": [words]})["slots"][0]
    names = [TAGS[i] for i in told.argmax(-1)]
    spans = [(" ".join(words[a : b + 1]), kind) for kind, a, b in get_entities(names)]
    assert spans, "a sentence without any would show nothing"
    assert marks(browser) == spans
    word_by_word = np.reshape(card(browser, "slots")["cells"], (-1, 3))
    assert word_by_word[:, 0].tolist() == words and word_by_word[:, 1].tolist() == names
    assert word_by_word[:, 2].tolist() == percents(told.max(-1))


def marks(browser, where="document"):
    found = browser.run(
        f"[...{where}.querySelectorAll('mark')].map((one) => "
        "[one.firstChild.textContent, one.querySelector('small').textContent])"
    )
    return [tuple(one) for one in found]


@pytest.mark.parametrize(
    ("tags", "names", "expected"),
    [
        ("O B-x I-x B-y I-y", "B-x I-x O I-y I-y", [("a b", "x"), ("d e", "y")]),
        ("O B-x I-x B-y I-y", "B-x B-x I-y I-x O", [("a", "x"), ("b", "x"), ("c", "y"), ("d", "x")]),
        ("O B-x I-x E-x S-x", "S-x B-x I-x E-x O", [("a", "x"), ("b c d", "x")]),
        ("N V O", "N N V O V", [("a", "N"), ("b", "N"), ("c", "V"), ("e", "V")]),
        ("O B-x I-x", "O O O O O", []),
    ],
)  # fmt: skip
def test_runs_of_tags_by_hand(browser, songs, tags, names, expected):
    tags = tags.split()
    tensor = np.eye(len(tags))[[tags.index(name) for name in names.split()]]
    # One position more than there are words: what a batch padded.
    tensor = np.concatenate([tensor, np.eye(len(tags))[:1]])[None].tolist()
    told = json.dumps({"kind": "SequenceTagging", "classes": tags})
    browser.open(songs.url)
    shown = f"answerFor('t', {told}, {json.dumps(tensor)}, ['a', 'b', 'c', 'd', 'e'])"
    assert marks(browser, shown) == expected
    sentence = browser.run(f"{shown}.querySelector('.sentence').firstChild.textContent.trim()")
    assert sentence.startswith("a"), "nothing before the sentence"
    assert len(browser.run(f"[...{shown}.querySelectorAll('tbody tr')].map(() => 1)")) == 5


def test_an_address_carries_a_question(browser, songs):
    browser.open(songs.url + "?text=play+miles")
    asked(browser, 6)
    assert browser.run("document.querySelector('#input-0').value") == "play miles"
    assert browser.run("location.search") == "?tokens=play+miles", (
        "to be copied from the address bar"
    )
    command = browser.run("document.querySelector('#curl').textContent")
    body = json.loads(re.search(r"-d '(.*)'$", command, re.DOTALL).group(1))
    assert body["inputs"] == {"tokens": [["play", "miles"]]}


def test_columns_of_a_table_blank_ones_and_units(browser, people):
    browser.open(people.url)
    for i, value in enumerate(PERSON.values()):
        browser.run(f"document.querySelector('#input-{i}').focus()")
        browser.type(str(value))
    browser.click("#ask")
    asked(browser, 1)

    def expected(person):
        value = people.predict({name: [one] for name, one in person.items()})["income"][0, 0]
        return pytest.approx(float(value), rel=1e-4)

    def shown():
        said = card(browser, "income")["said"]
        assert said.endswith(" EUR")
        return float(said.removesuffix(" EUR").replace(",", ""))

    assert shown() == expected(PERSON)
    browser.run("document.querySelector('#took').textContent = ''")
    browser.run("document.querySelector('#input-0').value = ''")
    browser.click("#ask")
    browser.until("document.querySelector('#took').textContent")
    assert shown() == expected({**PERSON, "age": float("nan")}) != expected(PERSON)


def test_every_kind_of_column_goes_and_comes_back(browser, tmp_path):
    """A model that gives back what it takes, and whose outputs have no labels."""
    (tmp_path / "types").mkdir()
    saved_models.write_version(tmp_path / "types", 1, saved_models.Types())
    with Server(tmp_path / "types", port=0, grpc_port=0) as server:
        question = "?flag=true&large=-9007199254740993&number=0.25&small=-128,127&text=a+%22b%22"
        browser.open(f"http://127.0.0.1:{server.port}/{question}")
        asked(browser, 5)
        command = browser.run("document.querySelector('#curl').textContent")
        shown = [card(browser, name)["said"] for name in ("flag", "number", "text")]
        assert shown == ["true", "0.25", 'a "b"']
        inputs = json.loads(re.search(r"-d '(.*)'$", command, re.DOTALL).group(1))["inputs"]
        assert inputs == {
            "flag": [True],
            "large": [-9007199254740993],
            "number": [0.25],
            "small": [[-128, 127]],
            "text": ['a "b"'],
        }, "a whole number of 64 bits is not rounded on the way"
        browser.open(f"http://127.0.0.1:{server.port}/?small=128,1&large=1")
        assert trouble(browser).startswith("The server refused that: Input 'small' is int8")
    browser.complaints.clear()


def trouble(browser):
    browser.until("document.querySelector('#trouble').textContent")
    assert browser.run("document.querySelector('#answers').hidden"), "no stale answer beside it"
    return browser.run("document.querySelector('#trouble').textContent")


def test_what_does_not_fit_is_said_where_it_stands(browser, people, songs):
    browser.open(people.url + "?age=young")
    assert trouble(browser) == 'age takes a number, not "young".'
    assert browser.run("document.activeElement.id") == "input-0"
    assert browser.run("document.activeElement.getAttribute('aria-invalid')") == "true"
    browser.open(songs.url)
    browser.click("#ask")
    assert trouble(browser) == "tokens: type something first."


def test_errors_of_the_server_are_shown_in_words(browser, songs):
    browser.open(songs.url + "?text=play")
    asked(browser, 6)
    browser.run("model.signature = 'nothing'")
    browser.click("#ask")
    assert trouble(browser).startswith("The server refused that: There is no signature 'nothing'")
    # The browser's own console tells of it, too.
    browser.complaints.clear()
    browser.open(songs.url)
    browser.run("window.fetch = () => Promise.reject(new TypeError('Failed to fetch'))")
    browser.run("document.querySelector('#input-0').value = 'play'")
    browser.click("#ask")
    assert trouble(browser) == "The server cannot be reached. Is it still running?"


def test_a_folder_without_a_version_is_told(browser, tmp_path):
    (tmp_path / "empty").mkdir()
    with Server(tmp_path / "empty", port=0, grpc_port=0) as server:
        browser.open(f"http://127.0.0.1:{server.port}/", ready="true")
        browser.until("document.querySelector('#trouble').textContent.includes('no version')")
    browser.complaints.clear()


def test_a_token_is_asked_for_and_kept_out_of_the_address(browser, songs):
    with Server(songs.server.folder, port=0, grpc_port=0, token="s3cret") as server:
        url = f"http://127.0.0.1:{server.port}/"
        browser.open(url, ready="!document.getElementById('entrance').hidden")
        assert browser.run("document.querySelector('#entry').hidden")
        assert browser.run("document.querySelector('#trouble').textContent") == ""
        for token in ("wrong", "s3cret"):
            browser.run("document.querySelector('#token').value = ''")
            browser.click("#token")
            browser.type(token)
            browser.press("Enter")
            if token == "wrong":
                assert "token" in trouble(browser)
        browser.until("!document.querySelector('#entry').hidden")
        assert browser.run("document.querySelector('#entrance').hidden")
        browser.click("#input-0")
        browser.type("play")
        browser.press("Enter")
        asked(browser, 6)
        assert "s3cret" not in browser.run(
            "location.href + document.querySelector('#curl').textContent"
        )
        assert browser.run("localStorage.length") == 0
    browser.complaints.clear()


def read(browser):
    return np.array(browser.run("[...model.fields.values()][0].read()"))


def test_a_digit_drawn_with_the_mouse_is_asked_about_at_once(browser, digits):
    browser.open(digits.url)
    browser.click("#ask")
    assert trouble(browser).startswith("Draw something first")
    x, y = browser.middle("canvas")
    browser.drag([(x - 70, y - 60), (x - 70, y + 60)])
    asked(browser, 1)
    drawn = read(browser)
    assert drawn.shape == (1, 12, 12, 1) and drawn.min() == 0 and drawn.max() == 1
    # 240 pixels across for 12: the line is at column 6 - 70 / 20 = 2.5, rows 3 to 9.
    assert np.all(drawn[0, 3:9, 2, 0] == 1) and np.all(drawn[0, :, 6:] == 0)
    told = digits.predict({"image": drawn.astype("float32")})["left"][0]
    assert_bars(card(browser, "left"), [str(i) for i in range(10)], told)
    browser.click("button:nth-of-type(2)")
    np.testing.assert_allclose(read(browser), 1 - drawn, atol=1e-4)


def test_a_picture_is_taken_from_a_file_and_drawn_with_keys(browser, digits, tmp_path, rng):
    browser.open(digits.url)
    pixels = rng.integers(0, 256, (12, 12), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    browser.choose("#input-0-file", tmp_path / "digit.png")
    asked(browser, 1)
    np.testing.assert_allclose(read(browser)[0, ..., 0], pixels / 255, atol=2 / 255)
    told = digits.predict({"image": read(browser).astype("float32")})["left"][0]
    assert_bars(card(browser, "left"), [str(i) for i in range(10)], told)
    browser.run("document.querySelector('#input-0-scale').value = '0 to 255'")
    np.testing.assert_allclose(read(browser)[0, ..., 0], pixels, atol=2)

    (tmp_path / "no.png").write_text("no picture")
    browser.choose("#input-0-file", tmp_path / "no.png")
    browser.until("document.querySelector('#trouble').textContent === 'That file is no picture.'")

    browser.open(digits.url)
    browser.run("document.querySelector('canvas').focus()")
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", " "):
        browser.press(key)
    asked(browser, 1)
    assert np.unravel_index(read(browser)[0, ..., 0].argmax(), (12, 12)) == (5, 4)


def test_names_and_classes_are_text_and_no_other_script_runs(browser, songs):
    evil = '"><script>alert(1)</script>'
    text = page(evil)
    assert "<script>alert" not in text and "&quot;&gt;&lt;script&gt;alert(1)" in text
    browser.open(songs.url)
    told = json.dumps({"kind": "MultiClass", "classes": ["<img src=x onerror=alert(1)>", "b"]})
    shown = f"answerFor('<b>t</b>', {told}, [[0.9, 0.1]], null)"
    assert browser.run(f"{shown}.querySelectorAll('img, b').length") == 0
    assert (
        browser.run(f"{shown}.querySelector('.said').textContent") == "<img src=x onerror=alert(1)>"
    )
    browser.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.bad = 1';"
        "document.body.append(s); })()"
    )
    assert browser.run("window.bad === undefined")
    assert browser.run("fetch('https://example.org/').then(() => 'sent', () => 'kept')") == "kept"
    assert any("Content Security Policy" in one for one in browser.complaints)
    browser.complaints.clear()


def test_nothing_is_loaded_from_elsewhere(browser, songs):
    browser.open(songs.url + "?text=play")
    asked(browser, 6)
    loaded = browser.run("performance.getEntriesByType('resource').map((one) => one.name)")
    assert loaded and all(one.startswith(songs.url) for one in loaded)


def test_numbers_without_labels_and_numbers_that_are_none(browser, songs):
    browser.open(songs.url)
    shown = "answerFor('t', {{kind: 'other'}}, {}, null).textContent"
    assert browser.run(shown.format("[[1.5]]")) == "t1.5"
    assert "[1,2.25]" in browser.run(shown.format("[[1, 2.25]]"))
    read = "JSON.stringify(parse('[NaN, -Infinity, \"NaN\", 1]').map((v) => typeof v + v))"
    assert browser.run(read) == '["numberNaN","number-Infinity","stringNaN","number1"]'
    assert browser.run("write({a: [NaN, 2n ** 63n, -Infinity, '\"']})") == (
        '{"a": [NaN, 9223372036854775808, -Infinity, "\\""]}'
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["songs", "people", "digits"])
def test_it_can_be_read_on_a_small_screen_and_by_a_screen_reader(browser, request, which, scheme):
    browser.prefer(scheme)
    browser.resize(400, 800)
    served = request.getfixturevalue(which)
    question = {"songs": "?text=play+miles", "people": "?job=cook", "digits": ""}[which]
    browser.open(served.url + question)
    if question:
        browser.until("document.querySelector('#took').textContent")
        browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= 400, "no scrolling sideways"
    assert browser.run(FAINT) == []
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    roles = {
        "textbox",
        "button",
        "combobox",
        "application",
        "checkbox",
        "region",
        "form",
        "heading",
    }
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in roles
    ]
    assert len(named) > 3 and all(name for _, name in named), named
    browser.resize(1200, 900)
    browser.prefer("light")


# Texts whose contrast with what is behind them is below WCAG's 4.5, as [text, contrast].
FAINT = """(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (colour) => { const [r, g, b] = colour.slice(0, 3).map((v) => {
    v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] === 1) return c; }
    return [255, 255, 255]; };
  return [...document.body.querySelectorAll('*')].filter((e) => e.checkVisibility() &&
    !['SCRIPT', 'STYLE', 'NOSCRIPT', 'OPTION', 'CANVAS'].includes(e.tagName) &&
    [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())).map((e) => {
      const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
      return [e.textContent.trim().slice(0, 30), (a + 0.05) / (b + 0.05)]; })
    .filter(([, contrast]) => contrast < 4.5);
})()"""
