"""The full list of controls and of metrics: what a router has to beat, and by what.

    python benchmarks/controls.py --cache folder

*Memoriser*: the answers of the nearest training query. *Centroid IVF*: lists ranked by
the means of their keys, or *normalised*, by these at norm one. *Linear router*: ridge
regression. *Untrained*: ours with a learning rate that changes nothing. All rank the
same lists of keys, and but for the memoriser, which looks its answers up, all search
the first 5 % of them for match rate and recall@10, whose interval is a bootstrap over
groups of queries, and whose 5 % is the recall that 19 of 20 queries reach. *Key error*
is that of the predicted key, relative to the query's own. MACs, with those of the
router, are for the lists of 95 % of the best keys. Times to *label*, *train* and
*build* (the lists) are in exact searches for the best keys of the training queries.
Learning *pays after* so many queries: then the MACs that it took have been spared,
beside centroids.
"""

import math
import time
from contextlib import contextmanager
from unittest import mock

import numpy as np
from corpora import add_sets, available, load
from protocol import n_lists, split
from sklearn.base import clone
from sklearn.preprocessing import normalize
from tables import Report, parser, percents, run

from sk_amips import (
    CentroidRouter,
    KeyNetRegressor,
    LinearRouter,
    SupportNetRegressor,
    exact_search,
)
from sk_amips.estimators import _base
from sk_amips.index._report import _learning_macs, n_macs
from sk_amips.metrics import (
    keys_scanned,
    match_rate,
    recall_at_k,
    relative_key_error,
    routing_recall,
)
from sk_amips.partition import Partition, spherical_kmeans
from sk_amips.routing import _linear

K, RECALL, VISITED = 10, 0.95, 0.05
UNTRAINED = {"lr": 1e-12, "max_epochs": 1, "noisy_queries": 0.0, "noisy_keys": 0.0}


class Memoriser:
    """Answers of the nearest training query, and lists by the nearest with one there.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, d)
    partition : Partition
    """

    def __init__(self, keys, partition):
        self.keys, self.partition_ = keys, partition

    def fit(self, X):
        """Keep the queries in order of the list of their best key."""
        best = exact_search(self.keys, X, K)[1]
        winner = self.partition_.labels_[best[:, 0]]
        order = np.argsort(winner, kind="stable")
        self.queries_, self.best_ = normalize(X)[order], best[order]
        self.lists_, self.starts_ = np.unique(winner[order], return_index=True)
        return self

    def predict_partitions(self, X):
        """Cosine of the nearest training query whose best key is in each list."""
        scores = np.full((len(X), self.partition_.n_partitions), -np.inf, np.float32)
        for i in range(0, len(X), 512):
            cosines = normalize(X[i : i + 512]) @ self.queries_.T
            best = np.maximum.reduceat(cosines, self.starts_, axis=1)
            scores[i : i + 512, self.lists_] = best
        return scores

    def transform(self, X):
        """Best key of the nearest training query."""
        return self.keys[self._answers(X)[:, 0]]

    def search(self, X, k, n_probe):
        """Answers of the nearest training query, the best for this one first."""
        found = self._answers(X)[:, :k]
        scores = np.einsum("nkd,nd->nk", self.keys[found], X)
        order = np.argsort(-scores, axis=1, kind="stable")
        return tuple(np.take_along_axis(a, order, axis=1) for a in (scores, found))

    def _answers(self, X):
        return self.best_[exact_search(self.queries_, normalize(X))[1][:, 0]]


def routers(keys, partition):
    """What is compared, none of it fitted."""
    given = {"keys": keys, "partition": partition}
    unit = Partition(partition.labels_, normalize(partition.centroids_))
    net = SupportNetRegressor(**given)
    one_head = KeyNetRegressor(shared_head=True, routing_weight=1e-2, **given)
    return {
        "memoriser": Memoriser(keys, partition),
        "centroid IVF, normalised": CentroidRouter(keys, partition=unit),
        "centroid IVF": CentroidRouter(**given),
        "linear router": LinearRouter(**given),
        "SupportNet, untrained": clone(net).set_params(**UNTRAINED),
        "KeyNet, untrained": clone(one_head).set_params(**UNTRAINED),
        "SupportNet": net,
        "SupportNet, keys matched": clone(net).set_params(key_weight=10.0),
        "KeyNet": one_head,
    }


@contextmanager
def labelling():
    """A list that is given the seconds of each search for labels."""
    seconds = []

    def timed(function):
        def call(*args, **kwargs):
            start = time.perf_counter()
            found = function(*args, **kwargs)
            seconds.append(time.perf_counter() - start)
            return found

        return call

    with (
        mock.patch.object(_base, "searched_targets", timed(_base.searched_targets)),
        mock.patch.object(_linear, "partition_search", timed(_linear.partition_search)),
    ):
        yield seconds


def own_macs(router):
    """Multiply-accumulates of a router for a query; it holds as many numbers."""
    return router.queries_.size if isinstance(router, Memoriser) else n_macs(router)


class Problem:
    """A set of keys in lists, training queries, and test queries with their answers."""

    def __init__(self, name, cache):
        self.keys, queries, groups = load(name, cache)
        train, _, test = split(groups)
        self.train, self.test = queries[train], queries[test]
        self.groups = np.unique(groups[test], return_inverse=True)[1]
        start = time.perf_counter()
        partition = spherical_kmeans(self.keys, n_lists(name, self.keys), seed=0)
        self.build = time.perf_counter() - start
        self.partition = partition
        self.exact, self.best = exact_search(self.keys, self.test, K)
        self.best_lists = partition.labels_[self.best[:, 0]]
        start = time.perf_counter()
        exact_search(self.keys, self.train)
        self.unit = time.perf_counter() - start
        self.n_visited = math.ceil(VISITED * partition.n_partitions)

    def measure(self, router):
        """Fit a router, and all that is said of it."""
        start = time.perf_counter()
        with labelling() as labels:
            router.fit(self.train)
        seconds = time.perf_counter() - start
        is_memory = isinstance(router, Memoriser)
        learns = labels and getattr(router, "lr", None) != UNTRAINED["lr"]
        label = seconds if is_memory else sum(labels) if learns else 0.0
        found = router.search(self.test, K, n_probe=self.n_visited)
        scores = router.predict_partitions(self.test)
        partition = self.partition
        share = keys_scanned(scores, self.best_lists, partition.sizes_, RECALL)
        routed = [
            routing_recall(scores, self.best_lists, p) for p in (1, self.n_visited)
        ]
        error = math.nan
        if hasattr(router, "transform"):
            best = self.keys[self.best[:, 0]]
            error = relative_key_error(router.transform(self.test), best, self.test)
        own = own_macs(router)
        return {
            "match rate": match_rate(self.exact, found[0]),
            "recalls": recall_at_k(self.exact, *found, k=K, average=False),
            "routed": routed,
            "key error": error,
            "own": own,
            "macs": own + share * self.keys.size,
            "scanned": share,
            "bytes": 4 * own,
            "spent": _learning_macs(self.keys, router) if learns else 0,
            "label": label / self.unit,
            "train": (seconds - label) / self.unit if learns else 0.0,
        }

    def interval(self, recalls, n_drawn=2000):
        """Bounds of 95 % of the means when groups are drawn anew."""
        sums, sizes = np.bincount(self.groups, recalls), np.bincount(self.groups)
        n = len(sizes)
        drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), n_drawn)
        return np.quantile((drawn @ sums) / (drawn @ sizes), [0.025, 0.975])


def mean(rows):
    """Means over seeds of everything."""
    return {part: np.mean([row[part] for row in rows], axis=0) for part in rows[0]}


def pays_after(row, plain):
    """Queries until the MACs of learning are spared, beside those of centroids."""
    spared = plain["macs"] - row["macs"]
    if row["spent"] == 0:
        return math.nan
    return row["spent"] / spared if spared > 0 else "never"


def compare(name, n_seeds, report, cache):
    """The table of a set."""
    data = Problem(name, cache)
    n_partitions, p = data.partition.n_partitions, data.n_visited
    n_keys, width = data.keys.shape
    table = report.table(
        "router",
        ("match rate", ".3f"),
        (f"recall@{K}", ".3f"),
        ("95 % interval", lambda bounds: "{:.3f} to {:.3f}".format(*bounds)),
        (f"5 % of recall@{K}", ".2f"),
        (f"routing recall@1 / @{p}", percents),
        ("key error", ".2f"),
        ("kMACs", lambda macs: f"{macs / 1e3:,.0f}"),
        ("keys scanned at 0.95", ".1%"),
        ("kB", lambda n: f"{n / 1e3:,.0f}"),
        ("label", ".2f"),
        ("train", ".1f"),
        ("build", ".2f"),
        ("pays after", ",.0f"),
        title=f"{name}: {n_keys:,} keys of width {width} in {n_partitions} lists, of "
        f"which {p} are searched; {len(data.train):,} training queries, "
        f"{len(data.test):,} of test; {n_seeds} seeds",
    )
    plain = data.measure(CentroidRouter(data.keys, partition=data.partition))
    for label, router in routers(data.keys, data.partition).items():
        learns = hasattr(router, "max_epochs")
        rows = []
        for seed in range(n_seeds if learns else 1):
            if learns:
                router = clone(router).set_params(random_state=seed)
            rows.append(data.measure(router))
            report.records.append(
                {"set": name, "router": label, "seed": seed} | rows[-1]
            )
        row = mean(rows)
        table.row(
            label,
            row["match rate"],
            row["recalls"].mean(),
            data.interval(row["recalls"]),
            np.mean([np.quantile(some["recalls"], 0.05) for some in rows]),
            row["routed"],
            row["key error"],
            row["macs"],
            row["scanned"],
            row["bytes"],
            row["label"],
            row["train"],
            data.build / data.unit,
            pays_after(row, plain),
        )


def main():
    arguments = parser(__doc__)
    add_sets(arguments)
    arguments.add_argument("--n-seeds", type=int, default=3)
    args = arguments.parse_args()
    report = Report(args.json)
    for name in available(args.sets, report):
        compare(name, args.n_seeds, report, args.cache)


if __name__ == "__main__":
    run(main)
