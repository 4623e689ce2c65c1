"""
Recommending items: factors of very different norms
===================================================

A recommender that factorises ratings scores an item for a user by the inner product of
their factors. Popular items have long factors, so that the best items of a user are not
the nearest ones, and an index for cosine similarity finds others. Here ratings are
generated and factorised, an index is fitted on the factors of known users, and asked
for the ten best items of new ones.
"""

# %%
# Ratings, and factors of rank 32: 8,000 items, 16,000 users who have each taken thirty
# items of their taste, popular ones more often.
import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from sk_amips import AmortizedNeighbors, DatabaseCompressor, LinearRouter, exact_search
from sk_amips.metrics import recall_at_k

rng = np.random.default_rng(0)
n_items, n_users, n_taken = 8000, 16000, 30
genres = rng.normal(size=(40, 16))
items = genres[rng.integers(40, size=n_items)] + 0.7 * rng.normal(size=(n_items, 16))
users = genres[rng.integers(40, size=n_users)] + 0.9 * rng.normal(size=(n_users, 16))
popularity = 0.4 * rng.gumbel(size=n_items)
taken = []
for some in np.array_split(users, 16):
    liking = some @ items.T / 2 + popularity + rng.gumbel(size=(len(some), n_items))
    taken.append(np.argpartition(-liking, n_taken, axis=1)[:, :n_taken])
columns = np.concatenate(taken).ravel()
rows = np.repeat(np.arange(n_users), n_taken)
ratings = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)))

svd = TruncatedSVD(32, random_state=0)
queries = svd.fit_transform(ratings).astype(np.float32)
keys = (svd.components_.T * svd.singular_values_).astype(np.float32)
rated = np.linalg.norm(keys, axis=1) > 1e-3
keys = keys[rated]
known, new = queries[:12000], queries[12000:]

# %%
# The norms of the items' factors, and how many of the ten best items of new users are
# among the ten nearest by angle.
norms = np.linalg.norm(keys, axis=1)
true_scores, best = exact_search(keys, new, k=10)
_, nearest = exact_search(normalize(keys), new, k=10)
by_angle = recall_at_k(true_scores, (keys[nearest] @ new[:, :, None])[..., 0], nearest)
print(
    f"norms from {norms.min():.2g} to {norms.max():.2g}, median {np.median(norms):.2g}"
)
print(f"of the ten best items, {by_angle:.0%} are among the ten nearest by angle")

# %%
# An index searches the items as they are. Users are independent, so no groups are
# needed. It is asked for 95 % of the ten best items.
router = LinearRouter(keys, n_partitions="sqrt", random_state=0)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # which router was taken: see below
    index = AmortizedNeighbors(router, k=10, target_recall=0.95, random_state=0)
    index.fit(known)
scores, found = index.search(new)
recall = recall_at_k(true_scores, scores, found)
scanned = index.visited(new)[1].mean() / len(keys)
report = index.report_
print(f"lists are ranked by: {report['chosen']}")
print(f"recall@10 of new users {recall:.3f}, at {scanned:.1%} of the items")
print(f"plain centroids scan {report['keys_ratio']:.1f} times as many")

# %%
# Few items ever are among the best: most need not be kept at all.
shares = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
compressor = DatabaseCompressor(keys, k=10, target_recall=0.95).fit(known)
print(
    f"{len(compressor.kept_)} of {len(keys)} items have {compressor.recall_:.3f} of "
    f"the ten best, estimated; {compressor.score(new):.3f} of new users'"
)

figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
axes[0].hist(norms, bins=np.geomspace(norms.min(), norms.max(), 40), color="0.6")
axes[0].hist(norms[np.unique(best)], bins=np.geomspace(norms.min(), norms.max(), 40))
axes[0].set(xscale="log", yscale="log", xlabel="norm of the item", ylabel="items")
axes[0].set_title("all items, and those that win (blue)")
targets = [0.8, 0.9, 0.95, 0.98, 0.99]
found = [index.search(new, target_recall=t) for t in targets]
recalls = [recall_at_k(true_scores, *some) for some in found]
work = [index.visited(new, target_recall=t)[1].mean() / len(keys) for t in targets]
axes[1].plot(recalls, work, "o-", label="the index")
plain = report["centroids"]
axes[1].plot(plain["recall"], plain["keys_scanned"] / len(keys), "s", label="centroids")
axes[1].set(xlabel="recall@10 of new users", ylabel="share of items scanned")
axes[1].set_ylim(0)
axes[1].legend()
axes[1].set_title("what a recall takes")
n_kept = np.unique(np.geomspace(10, len(keys), 60).astype(int))
axes[2].plot(n_kept, compressor.predict_recall(n_kept))
axes[2].set(xscale="log", xlabel="items kept", ylabel="estimated recall@10")
axes[2].set_title("what keeping fewer loses")
plt.show()
