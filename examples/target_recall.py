"""
Asking an index for a recall
============================

The keys are the terms of the Human Phenotype Ontology, the queries other words for
them, as in ``quickstart.py``. An index with a learned router, and one that ranks its
lists by their centroids, are each asked for several recalls: they visit as many lists
as it takes.

Run ``python examples/target_recall.py``: a minute on two cores. It prints a table, and
writes ``target_recall.png``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import PercentFormatter
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sk_amips import (
    AmortizedNeighbors,
    CentroidRouter,
    SupportNetRegressor,
    exact_search,
)
from sk_amips.datasets import fetch_phenotypes
from sk_amips.metrics import recall_at_k

FIGURE = Path("target_recall.png")
TARGETS = (0.8, 0.85, 0.9, 0.95, 0.98)
K = 10

# %%
# Text to unit vectors, and queries split so that no test query has a sibling in
# training.
text = fetch_phenotypes()
encoder = make_pipeline(
    TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), min_df=2, sublinear_tf=True
    ),
    TruncatedSVD(256, random_state=0),
    Normalizer(),
)
keys = encoder.fit_transform(text.key_texts).astype(np.float32)
queries = encoder.transform(text.query_texts).astype(np.float32)
split = GroupShuffleSplit(1, test_size=0.2, random_state=0)
train, test = next(split.split(queries, groups=text.groups))
true_scores, _ = exact_search(keys, queries[test], K)

# %%
# Two routers over lists of their own; an index for each is asked for several recalls.
routers = {
    "learned": SupportNetRegressor(
        keys, n_partitions="sqrt", top_k=K, max_epochs=30, random_state=0
    ),
    "centroids": CentroidRouter(keys, random_state=0),
}
figure, axis = plt.subplots(figsize=(6, 4))
print(f"recall@{K} asked, found on {len(test):,} unseen queries, keys scanned")
for name, router in routers.items():
    # The router learns from most of the training queries; the others calibrate.
    index = AmortizedNeighbors(router, k=K, target_recall=0.9, random_state=0)
    index.fit(queries[train], groups=text.groups[train])
    recalls, shares = [], []
    for target in TARGETS:
        found = index.search(queries[test], target_recall=target)
        recalls.append(recall_at_k(true_scores, *found))
        _, n_keys = index.visited(queries[test], target_recall=target)
        shares.append(n_keys.mean() / len(keys))
        print(f"{name:<10}{target:6.2f}{recalls[-1]:8.3f}{shares[-1]:8.2%}")
    axis.plot(recalls, shares, marker="o", label=name)
axis.set(
    xlabel=f"recall@{K} of unseen queries",
    ylabel="keys scanned",
    ylim=(0, None),
    title="Keys scanned for a recall, phenotype terms",
)
axis.yaxis.set_major_formatter(PercentFormatter(1))
axis.legend(title="lists ranked by")
figure.tight_layout()
figure.savefig(FIGURE, dpi=120)
print(f"Figure: {FIGURE.absolute()}")
