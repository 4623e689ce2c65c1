import json

import pytest
from numpy.testing import assert_array_equal

from sk_amips.datasets import load_beir

CORPUS = [
    {"_id": "d1", "title": "Rain", "text": "Water that falls."},
    {"_id": "d2", "title": "", "text": "Untitled."},
    {"_id": "d3", "text": "Ünïcode, no title", "metadata": {}},
]
QUERIES = [
    {"_id": "q1", "text": "wet"},
    {"_id": "q2", "text": "never judged"},
    {"_id": "q3", "text": "other"},
    {"_id": "q4", "text": "irrelevant only"},
]
QRELS = [("q3", "d2", 1), ("q1", "d2", 0), ("q1", "d3", 1), ("q1", "d1", 2)]
QRELS += [("q4", "d1", 0), ("q4", "d2", -1)]


def lines(entries):
    return "\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n"


def table(qrels, header="query-id\tcorpus-id\tscore\n"):
    return header + "".join("\t".join(map(str, row)) + "\n" for row in qrels)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(lines(CORPUS), encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text(lines(QUERIES), encoding="utf-8")
    (tmp_path / "qrels" / "test.tsv").write_text(table(QRELS))
    return tmp_path


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_small_set(folder, kind):
    data = load_beir(kind(folder))
    assert data.key_ids == ["d1", "d2", "d3"]
    assert data.key_texts == [
        "Rain Water that falls.",
        "Untitled.",
        "Ünïcode, no title",
    ]
    assert data.query_ids == ["q1", "q3"]
    assert data.query_texts == ["wet", "other"]
    assert_array_equal(data.qrels, [[1, 1], [0, 2], [0, 0]])
    assert_array_equal(data.relevance, [1, 1, 2])
    assert_array_equal(data.groups, [2, 1])
    assert "3 documents and 2 queries" in data.DESCR


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("header", ["", "query-id\tcorpus-id\tscore\n"])
def test_with_and_without_header(folder, header, end):
    text = table(QRELS, header).replace("\n", end)
    (folder / "qrels" / "test.tsv").write_bytes(text.encode())
    assert_array_equal(load_beir(folder).groups, [2, 1])


def test_numbers_as_ids(folder):
    (folder / "corpus.jsonl").write_text(lines([{"_id": 7, "text": "seven"}]))
    (folder / "qrels" / "test.tsv").write_text(table([("q1", 7, 1)]))
    assert load_beir(folder).key_ids == ["7"]


def test_splits(folder):
    (folder / "qrels" / "train.tsv").write_text(table([("q2", "d1", 1)]))
    assert load_beir(folder, "train").query_ids == ["q2"]
    with pytest.raises(FileNotFoundError, match=r"splits are \['test', 'train'\]"):
        load_beir(folder, "dev")


def test_judgements_of_what_does_not_exist(folder):
    file = folder / "qrels" / "test.tsv"
    file.write_text(table([*QRELS, ("q1", "d9", 1), ("q9", "d1", 1)]))
    with pytest.warns(UserWarning, match="2 of 5 judgements"):
        data = load_beir(folder)
    assert len(data.qrels) == 3


@pytest.mark.parametrize("qrels", [[], [("q1", "d1", 0)], [("q9", "d9", 1)]])
def test_nothing_relevant(folder, qrels):
    (folder / "qrels" / "test.tsv").write_text(table(qrels))
    with pytest.raises(ValueError, match="no query with a relevant document"):
        load_beir(folder)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("corpus.jsonl", '{"_id": "d4", "te', 'Line 4 of .*corpus.* got \'{"_id"'),
        ("corpus.jsonl", '{"_id": "d4"}', "with '_id' and 'text'"),
        ("corpus.jsonl", "[1]", "must be a JSON object"),
        ("corpus.jsonl", '{"_id": "d1", "text": ""}', "the id 'd1' again"),
        ("corpus.jsonl", '{"_id": "d4", "text": null}', "with '_id' and 'text'"),
        ("corpus.jsonl", '{"_id": "d4", "text": ["b"]}', "with '_id' and 'text'"),
        ("corpus.jsonl", '{"_id": null, "text": "b"}', "with '_id' and 'text'"),
        ("corpus.jsonl", '{"_id": "d4", "text": "b", "title": 3}', "Line 4 of"),
        ("corpus.jsonl", "[" * 100_000, "Line 4 of .*corpus"),
        ("queries.jsonl", '{"text": "x"}', "Line 5 of .*queries"),
        ("qrels/test.tsv", "q1\td1", "Line 8 of .*test.tsv must be a query"),
        ("qrels/test.tsv", "q1\t0\td1\t1", "between tabs"),
        ("qrels/test.tsv", "q1\td1\tyes", "whole number"),
    ],
)
def test_bad_lines(folder, name, line, message):
    with (folder / name).open("a") as file:
        file.write(line)
    with pytest.raises(ValueError, match=message):
        load_beir(folder)


@pytest.mark.parametrize("line", ["q1 d1 1", "q1\t0\td1\t1", "q1\td1\t0.5"])
def test_a_first_line_that_is_no_header(folder, line):
    (folder / "qrels" / "test.tsv").write_text(table(QRELS, header=f"{line}\n"))
    with pytest.raises(ValueError, match=r"Line 1 of .* between tabs"):
        load_beir(folder)


def test_byte_order_marks(folder):
    expected = load_beir(folder)
    for file in (*folder.glob("*.jsonl"), folder / "qrels" / "test.tsv"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert load_beir(folder).key_ids == expected.key_ids
    (folder / "qrels" / "test.tsv").write_bytes(b"\xef\xbb\xbf" + b"q1\td1\t1")
    assert load_beir(folder).query_ids == ["q1"]


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_absent_files(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError):
        load_beir(folder)
