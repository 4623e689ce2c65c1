"""
From raw text to ids, in a pipeline
===================================

Strings in, ids out: vectorizer, SVD, normalization and index are the steps of one
scikit-learn pipeline. The keys are the names of the terms of the Human Phenotype
Ontology, the queries other words for them.
"""

# %%
# The encoder is fitted on the names, and frozen in the pipeline: queries must be
# encoded as the keys are. It looks at letters alone, and finds what is spelled alike.
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sk_amips import AmortizedNeighbors, LinearRouter, exact_search
from sk_amips.datasets import fetch_phenotypes
from sk_amips.model_selection import grouped_query_split

text = fetch_phenotypes()
encoder = make_pipeline(
    TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), min_df=2, sublinear_tf=True
    ),
    TruncatedSVD(256, random_state=0),
    Normalizer(),
)
keys = encoder.fit_transform(text.key_names).astype(np.float32)

# %%
# Queries written for one term stay together. The index learns, chooses and calibrates
# on those of four of five terms; ``fit`` passes their groups on to it.
train, test, train_groups, test_groups = grouped_query_split(
    text.query_texts, text.groups, groups=text.groups, random_state=0
)
index = AmortizedNeighbors(
    LinearRouter(keys, n_partitions="auto", random_state=0),
    k=10,
    target_recall=0.95,
    random_state=0,
)
pipeline = make_pipeline(FrozenEstimator(encoder), index)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # which router was taken: see below
    pipeline.fit(train, amortizedneighbors__groups=train_groups)
report = pipeline[-1].report_
print(
    f"{len(keys):,} terms, {len(train):,} queries to learn from; chosen: "
    f"{report['chosen']}"
)
print(f"recall@10 of other terms' queries: {pipeline.score(test):.3f}")

# %%
# ``predict`` gives the best key of each query, ``search`` of the last step the ten best
# with their scores.
some = ["short fingers", "small ears", "curved spine", "enlarged heart", "loss of hair"]
for words, best in zip(some, pipeline.predict(some), strict=True):
    print(f"  {words!r:<20}{text.key_names[best]}")
scores, indices = pipeline[-1].search(pipeline[:-1].transform(test))

# %%
# How often the term that a query was written for is among the first ones? That is a
# question to the encoder more than to the index, which finds nearly all that an exact
# search does.
_, exact = exact_search(keys, pipeline[:-1].transform(test), k=10)
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
styles = {"exact search": "o-", "index, asked for a recall of 0.95": "s--"}
for (label, style), found in zip(styles.items(), (exact, indices), strict=True):
    is_meant = found == test_groups[:, None]
    ax.plot(np.arange(1, 11), is_meant.cumsum(axis=1).mean(axis=0), style, label=label)
ax.set(
    xlabel="number of terms returned",
    ylabel="share of queries whose term is there",
    title="Finding the term that is meant",
    xticks=np.arange(1, 11),
    ylim=(0, None),
)
ax.legend(loc="lower right")
plt.show()
