"""Files of tokens."""

import pytest

from keras_mtl.data import from_tokens, read_conll, read_parallel


def test_conll_by_hand_and_bad_lines_by_number(tmp_path):
    path = tmp_path / "t.conll"
    path.write_text("to\tO\nrome\tB-city\n\n\nnow\tB-time\n")
    tokens, tags = read_conll(path)
    assert tokens == [["to", "rome"], ["now"]] and tags == [["O", "B-city"], ["B-time"]]
    path.write_text("to\tO\nrome\n")
    with pytest.raises(ValueError, match=r"t.conll:2 has 1 fields \('rome'\), expected 2"):
        read_conll(path)


def test_lines_that_do_not_match_are_told(tmp_path):
    words, tags = tmp_path / "w", tmp_path / "t"
    words.write_text("a b\nc\n")
    tags.write_text("O O\nO O\n")
    with pytest.raises(ValueError, match=r"t:2 has 2 tags, but .*w:2 has 1 tokens"):
        read_parallel(words, tags)
    tags.write_text("O O\n")
    with pytest.raises(ValueError, match=r"t has 1 lines, but .*w has 2"):
        read_parallel(words, tags)


def test_unseen_tags_and_classes_have_ids_of_their_own(caplog):
    rows = from_tokens(
        [["a", "b"]],
        {"slots": ([["B-x", "B-new"]], ["O", "B-x"])},
        {"intent": (["other"], ["play", "book"])},
    )
    assert rows.labels["slots"][0].tolist() == [1, -2] and rows.labels["intent"].tolist() == [-2]
    assert "B-new" in caplog.text and "other" in caplog.text


@pytest.mark.needs_data
def test_wnut17_has_its_published_sentences_and_tags(data_dir):
    tokens, tags = read_conll(data_dir / "wnut17" / "wnut17train.conll.gz")
    assert len(tokens) == 3394 == len(tags)
    assert len({tag for sentence in tags for tag in sentence}) == 13
    assert all(len(a) == len(b) for a, b in zip(tokens, tags, strict=True))
