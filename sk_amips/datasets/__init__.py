"""Keys and queries from files, from text and from a formula.

Nothing is downloaded, except by the libraries of Hugging Face where they are given a
name in place of a folder: the text of ``fetch_*`` comes with packages.

All but the arrays of :func:`load_vectors` and :func:`encode_texts`, and the keys,
queries and groups of :func:`make_mips_problem`, come as scikit-learn's ``Bunch``, with
the same names for the same things:

=================== ===== ======== ====== ====================================
function            texts vectors  groups more
=================== ===== ======== ====== ====================================
`load_hdf5`         no    yes      no     learn_vectors, neighbors, if there
`fetch_phenotypes`  yes   no       yes    key_names, is_lay
`fetch_diagnoses`   yes   no       yes    key_codes
`load_beir`         yes   no       yes    key_ids, query_ids, qrels, relevance
`load_huggingface`  yes   if asked yes
=================== ===== ======== ====== ====================================

Vectors are ``key_vectors``, to be searched, and ``query_vectors``, which ask for them
(a Bunch is a dict, whose ``keys`` are its own); texts are ``key_texts`` and
``query_texts``, which :func:`encode_texts` turns into vectors. ``groups`` is the key
that each query was written for, often but not always its best one; those of
:func:`make_mips_problem` are numbers that name no key. ``learn_vectors``
are further queries, to learn from; ``neighbors`` are the best keys of
``query_vectors``. ``DESCR`` says in words what the data are.
"""

from ._beir import load_beir
from ._encode import encode_texts
from ._files import load_vectors
from ._hdf5 import load_hdf5
from ._huggingface import load_huggingface
from ._save import save_vectors
from ._synthetic import QueryLog, make_mips_problem
from ._texts import fetch_diagnoses, fetch_phenotypes

__all__ = [
    "QueryLog",
    "encode_texts",
    "fetch_diagnoses",
    "fetch_phenotypes",
    "load_beir",
    "load_hdf5",
    "load_huggingface",
    "load_vectors",
    "make_mips_problem",
    "save_vectors",
]
