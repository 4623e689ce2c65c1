"""
Quickstart: find the medical term that people mean
==================================================

Keys are the 19,000 terms of the Human Phenotype Ontology, each with its definition.
Queries are the other words that people use for them: synonyms, abbreviations, lay
terms. Text becomes vectors by TF-IDF and SVD; both estimators learn from 80 % of the
queries and are tried on the rest, which were written for other terms.

Run ``python examples/quickstart.py``: it takes a few minutes on two cores, prints a
table, and writes ``quickstart.png``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FixedLocator, NullFormatter, PercentFormatter
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sk_amips import KeyNetRegressor, SupportNetRegressor, exact_search
from sk_amips.datasets import fetch_phenotypes
from sk_amips.exact import probe_search
from sk_amips.metrics import match_rate, recall_at_k, relative_key_error

FIGURE = Path("quickstart.png")

# %%
# Text to unit vectors. The encoder is fitted on the keys alone.
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

# %%
# Queries written for one term stay together: no test query has a sibling in training.
split = GroupShuffleSplit(1, test_size=0.2, random_state=0)
train, test = next(split.split(queries, groups=text.groups))
print(f"{len(keys):,} keys, {len(train):,} + {len(test):,} queries, {keys.shape[1]}-D")

# %%
# The whole of the library: keys to the constructor, queries to fit.
options = {"max_epochs": 30, "random_state": 0, "verbose": 1}
key_net = KeyNetRegressor(keys, residual=True, **options).fit(queries[train])
support_net = SupportNetRegressor(keys, **options).fit(queries[train])
router = SupportNetRegressor(keys, n_partitions="sqrt", **options).fit(queries[train])

# %%
# Every method visits lists of keys and scores what it finds there with the true query;
# they differ in how they rank the lists. Three rank them by an inner product of the
# lists' centroids: with the query itself, or with the best key that a network predicts.
# The fourth asks a network for the best score in each list.
unseen = queries[test]
partition = router.partition_
vectors = {
    "raw query": unseen,
    "KeyNet's key": key_net.predict(unseen),
    "SupportNet's gradient": support_net.transform(unseen),
}
rankings = {name: x @ partition.centroids_.T for name, x in vectors.items()}
rankings["SupportNet's list scores"] = router.predict_partitions(unseen)


def n_weights(estimator):
    """Multiply-adds of a pass through the network."""
    return sum(p.numel() for p in estimator.net_.module_.parameters() if p.ndim == 2)


# %%
# Multiply-adds ahead of the first key; a gradient needs a pass forth and one back.
centroids = partition.centroids_.size
overhead = {
    "raw query": centroids,
    "KeyNet's key": n_weights(key_net) + centroids,
    "SupportNet's gradient": 2 * n_weights(support_net) + centroids,
    "SupportNet's list scores": n_weights(router),
}


def visit(name, n_probe, k=10):
    """Scores and indices of the keys found, and the work of a query."""
    lists = np.argsort(-rankings[name], axis=1)[:, :n_probe]
    scanned = partition.sizes_[lists].sum(axis=1).mean() * keys.shape[1]
    work = (overhead[name] + scanned) / keys.size
    return *probe_search(keys, unseen, partition, lists, k), work


def lists_within(name, budget):
    """As many lists as a budget of work allows."""
    order = np.argsort(-rankings[name], axis=1)
    scanned = partition.sizes_[order].mean(axis=0).cumsum() * keys.shape[1]
    fits = overhead[name] + scanned <= budget * keys.size * (1 + 1e-6)
    return max(1, int(fits.sum()))


# %%
# All get as much work for a query as ten lists of the last method take.
true_scores, best = exact_search(keys, unseen, k=10)
*_, budget = visit("SupportNet's list scores", 10)
print(f"\nAt {budget:.1%} of the work of scoring every key, networks included:\n")
print(f"{'lists ranked by':<26}{'lists':>5}{'match rate':>12}{'recall@10':>11}", end="")
print(f"{'key error':>11}")
for name in rankings:
    n_probe = lists_within(name, budget)
    scores, indices, _ = visit(name, n_probe)
    print(
        f"{name:<26}{n_probe:>5}"
        f"{match_rate(true_scores, scores):>12.3f}"
        f"{recall_at_k(true_scores, scores, indices):>11.3f}",
        end="",
    )
    if name in vectors:
        error = relative_key_error(vectors[name], keys[best[:, 0]], unseen)
        print(f"{error:>11.3f}")
    else:
        print(f"{'-':>11}")

# %%
# What some queries find.
print("\nFive held-out queries and the terms found for them in ten lists:\n")
_, found = router.search(unseen, k=3, n_probe=10)
for i in np.random.default_rng(1).choice(len(test), 5, replace=False):
    print(f"  {text.query_texts[test[i]]!r}")
    print("     " + "; ".join(text.key_names[j] for j in found[i]))

# %%
# And the curves, for more work and less.
figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
for name in rankings:
    rates, work = [], []
    for n_probe in (1, 2, 3, 4, 6, 9, 13, 19, 28, 42):
        scores, _, spent = visit(name, n_probe, k=1)
        rates.append(match_rate(true_scores, scores))
        work.append(spent)
    axes.plot(work, rates, marker=".", label=name)
axes.set(
    xscale="log",
    xlabel="work of a query, network included (100 % = score every key)",
    ylabel="match rate on held-out queries",
    title="Finding the term that is meant",
)
axes.xaxis.set_major_locator(FixedLocator([0.02, 0.05, 0.1, 0.2, 0.5]))
axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
axes.xaxis.set_minor_formatter(NullFormatter())
axes.grid(alpha=0.3)
axes.legend(title="lists ranked by")
figure.savefig(FIGURE, dpi=150)
print(f"\nFigure: {FIGURE.absolute()}")
