import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sk_amips.datasets import load_huggingface

ROWS = {
    "answer": ["rain", "snow", "rain", "hail"],
    "question": ["wet?", "white?", "falls?", "white?"],
    "rank": [1, 2, 3, 4],
}
COLUMNS = {"key_column": "answer", "query_column": "question"}


class Lengths:
    def encode(self, texts, batch_size):
        return np.array([[len(text), 1.0] for text in texts])


@pytest.fixture
def datasets():
    # Imported here: the library takes seconds, and is not needed by the project.
    return pytest.importorskip("datasets", reason="needs sk-amips[text]")


@pytest.fixture
def table(datasets):
    return datasets.Dataset.from_dict(ROWS)


def check(data):
    assert data.key_texts == ["rain", "snow", "hail"]
    assert data.query_texts == ["wet?", "white?", "falls?", "white?"]
    assert_array_equal(data.groups, [0, 1, 0, 2])
    assert data.groups.dtype == np.int64
    assert "3 keys (answer) and 4 queries (question)" in data.DESCR


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_saved_table(table, tmp_path, kind):
    table.save_to_disk(tmp_path / "table")
    data = load_huggingface(kind(tmp_path / "table"), **COLUMNS)
    check(data)
    assert "key_vectors" not in data


def test_saved_splits(datasets, table, tmp_path):
    parts = datasets.DatasetDict({"test": table, "train": table.select([1])})
    parts.save_to_disk(tmp_path / "parts")
    check(load_huggingface(tmp_path / "parts", split="test", **COLUMNS))
    assert load_huggingface(tmp_path / "parts", **COLUMNS).key_texts == ["snow"]
    with pytest.raises(ValueError, match=r"one of \['test', 'train'\], got 'dev'"):
        load_huggingface(tmp_path / "parts", split="dev", **COLUMNS)


def test_folder_of_files(table, tmp_path, monkeypatch):
    folder = tmp_path / "files"
    folder.mkdir()
    table.to_parquet(folder / "train.parquet")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    check(load_huggingface(folder, **COLUMNS))


def test_loaded_table(table):
    check(load_huggingface(table, **COLUMNS))
    some = table.filter(lambda row: row["rank"] > 2)
    assert load_huggingface(some, **COLUMNS).key_texts == ["rain", "hail"]


def test_encoded(table):
    data = load_huggingface(table, encoder=Lengths(), **COLUMNS)
    check(data)
    assert_array_equal(data.key_vectors, [[4, 1]] * 3)
    assert_array_equal(data.query_vectors[:, 0], [4, 6, 6, 6])
    assert data.key_vectors.dtype == data.query_vectors.dtype == np.float32


@pytest.mark.parametrize("name", ["key_column", "query_column"])
def test_bad_columns(table, name):
    with pytest.raises(ValueError, match=r"one of \['answer', .*got 'absent'"):
        load_huggingface(table, **{**COLUMNS, name: "absent"})
    with pytest.raises(ValueError, match="'rank' must hold texts, got 1 in row 0"):
        load_huggingface(table, **{**COLUMNS, name: "rank"})


def test_no_rows(table):
    with pytest.raises(ValueError, match="'answer' must have at least one row"):
        load_huggingface(table.select([]), **COLUMNS)


def test_missing_text(datasets):
    rows = {**ROWS, "question": ["a", None, "b", "c"]}
    table = datasets.Dataset.from_dict(rows)
    with pytest.raises(ValueError, match="got None in row 1: give a filtered table"):
        load_huggingface(table, **COLUMNS)


def test_without_datasets(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"sk-amips\[text\]"):
        load_huggingface(tmp_path, **COLUMNS)
