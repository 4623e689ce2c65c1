"""Find the medical term that people mean, and measure what learning buys.

Keys are the 19,000 terms of the Human Phenotype Ontology, each with its definition.
Queries are the other words that people use for them: synonyms, abbreviations, lay
terms. Text becomes vectors by TF-IDF and SVD; both estimators learn from 80 % of the
queries and are tried on the rest, which were written for other terms.

Run ``python examples/quickstart.py``: it takes a few minutes on two cores, prints a
table, and writes ``examples/quickstart.png``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sk_amips import KeyNetRegressor, SupportNetRegressor, exact_search
from sk_amips.datasets import load_phenotypes
from sk_amips.exact import probe_search
from sk_amips.metrics import match_rate, recall_at_k, relative_key_error

FIGURE = Path(__file__).with_suffix(".png")

# Text to unit vectors. The encoder is fitted on the keys alone.
text = load_phenotypes()
encoder = make_pipeline(
    TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), min_df=2, sublinear_tf=True
    ),
    TruncatedSVD(256, random_state=0),
    Normalizer(),
)
keys = encoder.fit_transform(text.key_texts).astype(np.float32)
queries = encoder.transform(text.query_texts).astype(np.float32)

# Queries written for one term stay together: no test query has a sibling in training.
split = GroupShuffleSplit(1, test_size=0.2, random_state=0)
train, test = next(split.split(queries, groups=text.groups))
print(f"{len(keys):,} keys, {len(train):,} + {len(test):,} queries, {keys.shape[1]}-D")

# The whole of the library: keys to the constructor, queries to fit.
router = SupportNetRegressor(
    keys, n_partitions="sqrt", max_epochs=30, random_state=0, verbose=1
).fit(queries[train])
mapper = KeyNetRegressor(
    keys, residual=True, max_epochs=30, random_state=0, verbose=1
).fit(queries[train])

# Each method ranks the same lists of keys; visited keys get their true score. The raw
# query ranks them by their centroids. What is ranked differs, what is visited does not.
partition = router.partition_
unseen = queries[test]
mapped = mapper.transform(unseen)
rankings = {
    "raw query": unseen @ partition.centroids_.T,
    "KeyNet": mapped @ partition.centroids_.T,
    "SupportNet": router.predict_partitions(unseen),
}
true_scores, best = exact_search(keys, unseen, k=10)
best_keys = keys[best[:, 0]]
predicted = {
    "raw query": unseen,
    "KeyNet": mapped,
    "SupportNet": router.transform(unseen),
}


def weights(estimator):
    """Multiply-adds of one pass through the network."""
    return sum(p.numel() for p in estimator.net_.module_.parameters() if p.ndim == 2)


centroids = partition.centroids_.size
overhead = {
    "raw query": centroids,
    "KeyNet": centroids + weights(mapper),
    "SupportNet": weights(router),
}


def cost(name, n_probe):
    """Mean multiply-adds of a query, the network's own included."""
    lists = np.argsort(-rankings[name], axis=1)[:, :n_probe]
    return overhead[name] + partition.sizes_[lists].sum(axis=1).mean() * keys.shape[1]


def find(name, n_probe, k=10):
    lists = np.argsort(-rankings[name], axis=1)[:, :n_probe]
    return probe_search(keys, unseen, partition, lists, k)


probes = np.arange(1, partition.n_partitions + 1)
costs = {name: np.array([cost(name, p) for p in probes]) for name in rankings}
budget = costs["SupportNet"][4]  # five lists

print(f"\nAt most {budget / keys.size:.1%} of the work of scoring every key:")
print(
    f"{'ranked by':<12}{'lists':>6}{'match rate':>12}{'recall@10':>11}{'key error':>11}"
)
for name in rankings:
    n_probe = max(1, np.searchsorted(costs[name], budget, side="right"))
    scores, indices = find(name, n_probe)
    print(
        f"{name:<12}{n_probe:>6}"
        f"{match_rate(true_scores, scores):>12.3f}"
        f"{recall_at_k(true_scores, scores, indices):>11.3f}"
        f"{relative_key_error(predicted[name], best_keys, unseen):>11.3f}"
    )

print("\nFive held-out queries and the terms found for them by SupportNet:")
_, found = find("SupportNet", 5, k=3)
for i in np.random.default_rng(1).choice(len(test), 5, replace=False):
    terms = "; ".join(text.key_names[j] for j in found[i])
    print(f"  {text.query_texts[test[i]]}  ->  {terms}")

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for name in rankings:
    some = np.unique(np.geomspace(1, len(probes), 15).astype(int))
    rates = [match_rate(true_scores, find(name, p, k=1)[0]) for p in some]
    axes.plot(costs[name][some - 1] / keys.size, rates, marker=".", label=name)
axes.set(
    xscale="log",
    xlim=(None, 1),
    xlabel="work of a query, network included (1 = score every key)",
    ylabel="match rate on held-out queries",
    title="Finding the term that is meant",
)
axes.grid(alpha=0.3)
axes.legend(title="lists ranked by")
figure.savefig(FIGURE, dpi=150)
print(
    f"\nFigure: {FIGURE.relative_to(Path.cwd()) if FIGURE.is_relative_to(Path.cwd()) else FIGURE}"
)
