"""The page, the Markdown and the JSON: whole, safe, and of the same numbers."""

import base64
import html.parser
import io
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

import keras_mtl
from keras_mtl import evaluation
from keras_mtl.reporting import report
from keras_mtl.reporting._chart import chart_svg, labels, ticks
from keras_mtl.reporting._content import Chart, Series, plain, shown
from keras_mtl.reporting._inputs import picture
from tests.reporting._every_kind import EVIL, TAGS, model_of_all

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(html.parser.HTMLParser):
    """What a browser would make of a page, and an error where it would have to guess."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.sources = [], [], [], [], []
        self.cells, self.texts = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        assert not any(name.startswith("on") for name in attrs)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag == "a":
            self.links.append(attrs["href"])
        self.sources += [attrs[name] for name in ("src", "href") if name in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:], self.getpos())
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th", "dd", "span"):
            self.cells.append(data)
        self.texts.append(data)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The three files of a model of every kind, and what it was made of."""
    model, rows = model_of_all()
    folder = tmp_path_factory.mktemp("report")
    names = list(model.tasks)
    matrix = np.linspace(-1, 1, 36).reshape(6, 6)
    affinity = evaluation.Affinity(matrix, names)
    comparison = evaluation.Comparison(
        {EVIL: "auc", "binary": "auc"}, {EVIL: True, "binary": True},
        {r: {t: [0.5, 0.6 + i] for t in (EVIL, "binary")} for i, r in enumerate(("single-task", "equal"))},
        {"single-task": 9, "equal": 5}, {"single-task": 1.0, "equal": 0.5},
    )  # fmt: skip
    page = report(model=model, data=rows, folder=folder, affinity=affinity, comparison=comparison)
    told = json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)
    return model, rows, page.read_text(), (folder / "report.md").read_text(), told


def test_the_page_is_whole_and_needs_nothing_else(written):
    page = Page(written[2])
    assert len(page.ids) == len(set(page.ids)) >= 13
    assert {link.removeprefix("#") for link in page.links} == set(page.ids)
    outside = [s for s in page.sources if not s.startswith(("#", "data:"))]
    assert outside == [] and "@import" not in written[2] and "url(" not in written[2]
    assert not {"script", "iframe", "object"} & {tag for tag, _ in page.tags}
    policy = [a["content"] for tag, a in page.tags if "http-equiv" in a]
    assert policy and policy[0].startswith("default-src 'none'")


def test_everything_that_comes_from_outside_is_escaped(written):
    _, _, page, markdown, _ = written
    assert EVIL not in page and "<b>" not in markdown and "<script" not in markdown
    assert "&lt;script&gt;alert(" in page
    assert any(EVIL in cell for cell in Page(page).cells), "and reads as it is"
    assert "a\\|b" in markdown, "a bar would end a cell"


def test_who_cannot_see_it_can_read_it(written):
    page = Page(written[2])
    assert all(a.get("alt") for tag, a in page.tags if tag == "img")
    charts = [a for tag, a in page.tags if tag == "svg" and a.get("aria-hidden") != "true"]
    assert charts and all(a["role"] == "img" and a["aria-label"] for a in charts)
    assert sum(tag == "title" for tag, _ in page.tags) > len(charts)
    heads = [a for tag, a in page.tags if tag == "th" and a.get("class") != "corner"]
    assert all(a.get("scope") in ("row", "col", "colgroup") for a in heads)
    assert ("html", {"lang": "en"}) in page.tags


def test_markdown_tables_are_tables(written):
    for block in re.split(r"\n\n", written[3].strip()):
        lines = block.split("\n")
        if lines[0].startswith("| "):
            bars = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
            assert len(bars) == 1 and re.fullmatch(r"\|( -+:? \|)+", lines[1]), lines[:2]


def test_all_three_have_the_numbers_that_evaluate_gives(written):
    model, rows, page, markdown, told = written
    expected = keras_mtl.evaluate(model, rows).to_dict()
    assert told["scores"]["tasks"].keys() == expected["tasks"].keys()
    cells = Page(page).cells
    table = told["sections"]["scores"]["parts"][0]["blocks"][0]
    values = {}
    for task, metric, value, *_ in table["rows"]:
        last = task or last  # noqa: F821 (an empty name goes on with the one above)
        values[last, metric.removesuffix(" (main)")] = value
    for task, scores in expected["tasks"].items():
        for metric, value in scores.items():
            assert values[task, metric] == pytest.approx(value, rel=1e-4), (task, metric)
            told_as = shown(values[task, metric])
            assert told_as in cells and f" {told_as} " in markdown
    assert values["(all tasks)", "frame_accuracy"] == expected["joint"]["frame_accuracy"]


def test_every_kind_has_the_sections_that_make_sense_for_it(written):
    sections = written[4]["sections"]
    parts = {anchor: {p["title"] for p in found["parts"]} for anchor, found in sections.items()}
    assert parts["confusion"] == {"binary", "several", "ordinal", "slots"}
    assert parts["precision-and-recall"] == {"binary", "several", "ordinal", "topics"}
    assert parts["calibration"] == {"", "binary", "several", "ordinal", "topics", "slots"}
    assert parts["predicted-and-true-numbers"] == {"numbers"}
    every = {"binary", "several", "ordinal", "topics", "numbers", "slots"}
    assert parts["worst-examples"] == every and parts["data"] == every | {""}
    assert parts["training-curves"] >= every | {"own", "All tasks"}
    glance = sections["at-a-glance"]["parts"][0]["blocks"][1]["rows"]
    assert [row[:2] for row in glance if row[0] == "own"] == [["own", "not judged"]]


def test_labels_and_parameters_are_counted(written):
    model, rows, *_, told = written
    table = told["sections"]["data"]["parts"][0]["blocks"][0]
    counts = {row[0]: row[1] for row in table["rows"]}
    assert counts["(rows)"] == 80
    assert counts["binary"] == (rows.labels["binary"] != -1).sum()
    assert counts["numbers"] == np.isfinite(rows.labels["numbers"]).sum()
    assert counts["slots"] == rows.labels["slots"].lengths.sum()
    table = told["sections"]["parameters"]["parts"][0]["blocks"][0]
    counts = {row[0]: row[1] for row in table["rows"]}
    assert counts["binary"] == 8 + 1 and counts["several"] == 8 * 4 + 4
    assert counts["shared"] == 3 * 8 + 8
    assert counts["trainable in all"] == counts["shared"] + sum(counts[n] for n in model.task_names)


def test_tags_that_are_wrong_are_told_word_by_word(written):
    _, rows, *_, told = written
    part = next(p for p in told["sections"]["worst-examples"]["parts"] if p["title"] == "slots")
    first = part["blocks"][0]["rows"][0]
    words = next(seen for seen in first["inputs"] if seen["kind"] == "words")
    i = first["row"]
    assert words["words"] == list(rows.inputs["tokens"][i])
    assert words["true"] == [TAGS[t] for t in rows.labels["slots"][i]]
    wrong = sum(a != b for a, b in zip(words["said"], words["true"], strict=True))
    assert dict(map(tuple, first["facts"]))["wrong"] == f"{wrong} of {len(words['words'])} tags"


def test_what_is_not_finite_is_null():
    assert plain([float("nan"), np.float32("inf"), np.int64(3), b"x"]) == [None, None, 3, None]


def test_ticks_are_round_and_their_labels_apart():
    for low, high in ((0, 1), (-3.2, 7.7), (1e-7, 3e-7), (0.91, 0.93), (0, 123456), (5, 5.001)):
        marks = ticks(low, high)
        assert 2 <= len(marks) <= 11 and marks[0] >= low - 1e-9 and marks[-1] <= high + 1e-9
        assert len(set(labels(marks))) == len(marks), (low, high, labels(marks))


def test_a_chart_is_well_formed_whatever_its_numbers():
    nan = float("nan")
    for x, y in (([1, 2, 3], [nan, 1.0, 1.0]), ([1], [5.0]), ([], []), ([1, 2], [nan, nan])):
        chart = Chart("a < b", "x & y", "<y>", [Series("s", x, y)], whole=True)
        drawn = ElementTree.fromstring(chart_svg(chart))
        assert drawn.find("title").text == "a < b" and "nan" not in chart_svg(chart)
        points = list(drawn.iter("circle"))
        assert len(points) == np.isfinite(y).sum()


def test_pictures_are_read_back_as_they_were(rng):
    def pixels(seen):
        return np.asarray(Image.open(io.BytesIO(seen.png)))

    grey = rng.random((12, 9, 1))
    np.testing.assert_array_equal(pixels(picture(grey)), np.round(grey[..., 0] * 255))
    colours = rng.integers(0, 256, (8, 8, 3))
    np.testing.assert_array_equal(pixels(picture(colours)), colours)
    stretched = pixels(picture(rng.normal(size=(8, 8))))
    assert stretched.min() == 0 and stretched.max() == 255
    assert max(pixels(picture(rng.random((900, 600)))).shape) == 160
    assert base64.b64encode(picture(np.zeros((8, 8))).png).startswith(b"iVBOR")
