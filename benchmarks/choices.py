"""Work of a query by width and rank of routers, number of lists, and free labels.

    python benchmarks/choices.py --cache folder --figure choices.png

The numbers behind the defaults of SupportNetRegressor: keys scanned, and
multiply-accumulates with those of the router, with which a search visits the list of
the best key of 95 % of 2,048 held-out queries. One seed; splits and stops are those of
gains.py.
"""

import argparse

import matplotlib
import numpy as np
from corpora import NAMES, load
from gains import some_groups, split, stopped

from sk_amips import CentroidRouter, LinearRouter, SupportNetRegressor, exact_search
from sk_amips.index._calibrate import choose_stop
from sk_amips.index._code_lists import CodeLists
from sk_amips.index._engine import Engine
from sk_amips.index._list_scores import list_scorer
from sk_amips.index._report import n_macs
from sk_amips.partition import spherical_kmeans
from sk_amips.training import noisy_queries

matplotlib.use("Agg")
from matplotlib import pyplot as plt

WIDTHS = (16, 32, 64, 128, 256)
RANKS = (16, 64)
# Numbers of lists, in square roots of the number of keys.
ROOTS = (1, 2, 4)
NONE = {"noisy_queries": 0.0, "noisy_keys": 0.0}
FEW = 2000


class Problem:
    """A set of keys, a log, and queries to judge by."""

    def __init__(self, name, cache):
        self.name = name
        self.keys, queries, groups = load(name, cache)
        train, _, test = split(groups, 0)
        test = test[np.random.default_rng(0).permutation(len(test))[:2048]]
        self.log, self.judging = queries[train], queries[test]
        self.few = queries[some_groups(train, groups, FEW, 0)]
        self.best = exact_search(self.keys, self.judging)[1]
        self.largest = float(np.linalg.norm(self.keys, axis=1).max())

    def lists(self, roots):
        """The keys in so many square roots of their number."""
        n_lists = round(roots * len(self.keys) ** 0.5)
        return spherical_kmeans(self.keys, n_lists, seed=0)

    def row(self, label, router):
        """Print a row for a fitted router, and return its work."""
        partition = router.partition_
        lists = CodeLists(self.keys, partition, self.largest)
        engine = Engine(self.keys, lists, list_scorer(router))
        best = partition.labels_[self.best]
        stop = choose_stop(engine, self.judging, best, 0.95)
        scanned = stopped(engine, stop, self.judging, best)
        macs = n_macs(router) + self.keys.shape[1] * scanned
        lists = partition.n_partitions
        print(
            f"{self.name:<12}{lists:>6} {label:<26}{scanned:>8.0f}{macs / 1e3:>9.0f}",
            flush=True,
        )
        return macs


def widths(problem):
    """By the units of one hidden layer."""
    partition = problem.lists(1)
    work = []
    for width in WIDTHS:
        net = SupportNetRegressor(
            problem.keys,
            partition=partition,
            hidden_layer_sizes=(width,),
            random_state=0,
            **NONE,
        )
        work.append(problem.row(f"1x{width}", net.fit(problem.log)))
    return work


def numbers_of_lists(problem):
    """By the number of lists: centroids, linear routers, and a network."""
    work = []
    for roots in ROOTS:
        given = {"partition": problem.lists(roots)}
        net = SupportNetRegressor(problem.keys, random_state=0, **given)
        routers = {
            "centroids": CentroidRouter(problem.keys, **given),
            "linear": LinearRouter(problem.keys, **given),
            "network": net,
        }
        for rank in RANKS:
            low = LinearRouter(problem.keys, rank=rank, **given)
            routers[f"linear, rank {rank}"] = low
        work.append(
            [problem.row(name, r.fit(problem.log)) for name, r in routers.items()]
        )
    return np.transpose(work)


def free_labels(problem):
    """Of few queries: by what is added to them, about eight for each."""
    partition, few = problem.lists(1), problem.few
    n, rng = 8 * len(few), np.random.RandomState(0)
    added = {
        "nothing": few[:0],
        "noisy queries": noisy_queries(few, n, 0.4, rng),
        "mixtures of near queries": mixtures(few, n, rng),
        "noisy keys": noisy_queries(problem.keys, n, 0.6, rng),
        "midpoints of near keys": mixtures(problem.keys, n, rng, share=0.5),
    }
    both = np.concatenate([added["noisy queries"], added["noisy keys"]])
    added["noisy queries and keys"] = both
    for label, more in added.items():
        net = SupportNetRegressor(
            problem.keys, partition=partition, random_state=0, **NONE
        )
        problem.row(f"{FEW} + {label}"[:26], net.fit(np.concatenate([few, more])))
    for noise in (0.3, 0.6, 1.0):
        net = SupportNetRegressor(
            problem.keys, partition=partition, random_state=0, key_noise=noise
        )
        problem.row(f"no log, noise {noise}", net.fit(None))


def mixtures(vectors, n, rng, share=None):
    """Points between vectors and one of their five nearest."""
    rows = np.resize(rng.permutation(len(vectors)), n)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = exact_search(unit, unit[rows], 6)[1]
    near = near[np.arange(n), rng.randint(1, 6, size=n)]
    if share is None:
        share = rng.uniform(size=(n, 1))
    return (share * unit[rows] + (1 - share) * unit[near]).astype(np.float32)


def draw(by_width, by_lists, path):
    """Work by width and by number of lists, each set over its own least."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for i, name in enumerate(by_width):
        left.plot(WIDTHS, by_width[name] / np.min(by_width[name]), "o-", color=f"C{i}")
        network = by_lists[name][2]
        least = by_lists[name].min()
        right.plot(ROOTS, network / least, "o-", color=f"C{i}", label=name)
        right.plot(ROOTS, by_lists[name][1] / least, "o:", color=f"C{i}")
    left.set(xlabel="units of the hidden layer", ylabel="work over the least")
    right.set(
        xlabel="lists, in square roots of the number of keys",
        title="networks (lines) and linear routers (dotted)",
    )
    left.set_title("width, with one square root of lists")
    for axes, ticks in (left, WIDTHS), (right, ROOTS):
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, ticks)
        axes.grid(alpha=0.3)
    right.legend()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--cache", help="folder that keeps the sets that are made")
    parser.add_argument("--figure", help="file for the figure")
    args = parser.parse_args()
    print(f"{'set':<12}{'lists':>6} {'router':<26}{'keys':>8}{'kMACs':>9}")
    by_width, by_lists = {}, {}
    for name in args.sets:
        problem = Problem(name, args.cache)
        by_lists[name] = numbers_of_lists(problem)
        by_width[name] = widths(problem)
        free_labels(problem)
    if args.figure:
        draw(by_width, by_lists, args.figure)


if __name__ == "__main__":
    main()
