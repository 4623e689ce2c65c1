"""
A KeyNet in front of a graph: does it pay?
==========================================

``transform`` maps a query to the key that is predicted for it. Any index can be
searched with that vector in place of the query, and what it returns be scored with the
true query: nothing of this library has to run inside the index. Whether it pays has to
be measured. Here it is, on HNSW, with queries that are like keys and with others that
are far from them; and it does not: the graph finds more with the queries as they are.
"""

# %%
# ``shift`` rotates queries away from the keys, so that the best keys of a query are not
# near to one another in the graph.
import faiss
import matplotlib.pyplot as plt
import numpy as np

from sk_amips import KeyNetRegressor, exact_search
from sk_amips.datasets import make_mips_problem
from sk_amips.metrics import recall_at_k
from sk_amips.model_selection import grouped_query_split

K = 10


def problem(shift):
    """Keys, training queries, and new queries with their exact scores."""
    keys, queries, groups = make_mips_problem(
        n_keys=10_000,
        n_queries=22_000,
        n_features=48,
        query_noise=0.4,
        shift=shift,
        random_state=0,
    )
    train, test = grouped_query_split(
        queries, groups=groups, parts=(0.9, 0.1), random_state=0
    )
    return keys, train, test, exact_search(keys, test, K)[0]


# %%
# The graph is searched with one vector of each query, for some candidates that are then
# scored with the query itself; the ten best are the result. ``efSearch`` says how many
# keys a search keeps in view. Faiss counts the distances that it computes; those that
# the network costs are added, its weights over the number of features.
def curve(graph, keys, vectors, n_found, queries, true_scores, n_more):
    """Recall@10, and distances of keys that are computed, by efSearch."""
    recalls, work = [], []
    for ef in (20, 40, 80, 160, 320):
        if ef < n_found:
            continue
        graph.hnsw.efSearch = ef
        stats = vars(faiss)["cvar"].hnsw_stats
        stats.reset()
        _, found = graph.search(np.ascontiguousarray(vectors), n_found)
        scores = np.einsum("nd,nkd->nk", queries, keys[found])
        best = np.argsort(-scores, axis=1)[:, :K]
        recalls.append(
            recall_at_k(
                true_scores,
                np.take_along_axis(scores, best, axis=1),
                np.take_along_axis(found, best, axis=1),
            )
        )
        work.append(stats.ndis / len(queries) + n_more)
    return recalls, work


figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, shift in zip(axes, (0.0, 0.7), strict=True):
    keys, train, test, true_scores = problem(shift)
    graph = faiss.IndexHNSWFlat(keys.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    graph.add(keys)
    net = KeyNetRegressor(
        keys,
        hidden_layer_sizes=(128,),
        residual=True,
        max_epochs=30,
        random_state=0,
    ).fit(train)
    mapped = net.transform(test).astype(np.float32)
    n_weights = sum(p.numel() for p in net.net_.module_.parameters())
    n_more = n_weights / keys.shape[1]
    curves = {
        "the query": (test, 20, 0),
        "KeyNet's key, 20 candidates": (mapped, 20, n_more),
        "KeyNet's key, 80 candidates": (mapped, 80, n_more),
    }
    print(f"shift {shift}")
    for (label, (vectors, n_found, n_more)), style in zip(
        curves.items(), ("o-", "s--", "^:"), strict=True
    ):
        recalls, work = curve(graph, keys, vectors, n_found, test, true_scores, n_more)
        ax.plot(work, recalls, style, label=label)
        points = zip(recalls, work, strict=True)
        print(f"  {label:<28}" + ", ".join(f"{r:.3f} at {w:.0f}" for r, w in points))
    title = "queries like keys" if shift == 0 else "queries far from keys"
    ax.set(xlabel="distances computed, network included", title=title)
    ax.grid(alpha=0.3)
axes[0].set_ylabel("recall@10 of new queries")
axes[0].legend(title="the graph is searched with", loc="lower right")
plt.show()

# %%
# A predicted key is the mean of those that a query like this one may have, and the keys
# around it are not the best ones of this query. A router needs no such point: it says
# which lists are worth a visit, several where it is in doubt.
