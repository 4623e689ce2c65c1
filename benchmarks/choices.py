"""Work of a query by width and rank of routers, number of lists, and free labels.

    python benchmarks/choices.py --cache folder --figure choices.png

The numbers behind the defaults of SupportNetRegressor: keys scanned, and
multiply-accumulates with those of the router, with which a search visits the list of
the best key of 95 % of 2,048 held-out queries. One seed; splits and stops are those of
gains.py.
"""

import sys

import numpy as np
from corpora import add_sets, available, load
from gains import judging, some_groups, split, work
from joblib import Parallel, delayed
from tables import Report, parser, run

from sk_amips import CentroidRouter, LinearRouter, SupportNetRegressor, exact_search
from sk_amips.partition import spherical_kmeans
from sk_amips.training import noisy_queries

WIDTHS = (16, 32, 64, 128, 256)
RANKS = (16, 64)
# Numbers of lists, in square roots of the number of keys.
ROOTS = (1, 2, 4)
NONE = {"noisy_queries": 0.0, "noisy_keys": 0.0}
# Queries that are few, and noise of keys that stand for queries.
FEW, NOISES = 2000, (0.3, 0.6, 1.0)


class Problem:
    """A set of keys, a log, and queries to judge by."""

    def __init__(self, name, cache):
        self.name = name
        self.keys, queries, groups = load(name, cache)
        train, _, test = split(groups, 0)
        test = judging(test)
        self.log, self.judging = queries[train], queries[test]
        self.few = queries[some_groups(train, groups, FEW, 0)]
        self.best = exact_search(self.keys, self.judging)[1]
        self.rows = []

    def lists(self, roots):
        """The keys in so many square roots of their number."""
        n_lists = round(roots * len(self.keys) ** 0.5)
        return spherical_kmeans(self.keys, n_lists, seed=0)

    def row(self, label, router):
        """Keep keys scanned and work of a fitted router, and return the work."""
        scanned, macs = work(self.keys, router, self.judging, self.best)
        lists = router.partition_.n_partitions
        row = {"set": self.name, "lists": lists, "router": label}
        self.rows.append(row | {"keys": scanned, "macs": macs})
        print(f"{self.name}, {lists} lists: {label}", file=sys.stderr, flush=True)
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
        problem.row(f"{FEW} + {label}", net.fit(np.concatenate([few, more])))
    for noise in NOISES:
        net = SupportNetRegressor(
            problem.keys, partition=partition, random_state=0, key_noise=noise
        )
        problem.row(f"no log, noise {noise}", net.fit(None))


def one(name, cache):
    """Work on a set by width, and by number of lists and router; and all rows."""
    problem = Problem(name, cache)
    by_width, by_lists = widths(problem), numbers_of_lists(problem)
    free_labels(problem)
    return by_width, by_lists, problem.rows


def mixtures(vectors, n, rng, share=None):
    """Points between vectors and one of their five nearest."""
    rows = np.resize(rng.permutation(len(vectors)), n)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = exact_search(unit, unit[rows], 6)[1]
    near = near[np.arange(n), rng.randint(1, 6, size=n)]
    if share is None:
        share = rng.uniform(size=(n, 1))
    return (share * unit[rows] + (1 - share) * unit[near]).astype(np.float32)


def draw(names, by_width, by_lists, path):
    """Work by width and by number of lists, each set over its own least."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for i, (name, widths, lists) in enumerate(
        zip(names, by_width, by_lists, strict=True)
    ):
        left.plot(WIDTHS, widths / np.min(widths), "o-", color=f"C{i}")
        _, linear, network, *_ = lists / lists.min()
        right.plot(ROOTS, network, "o-", color=f"C{i}", label=name)
        right.plot(ROOTS, linear, "o:", color=f"C{i}")
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


def show(report, names, by_width, rows):
    """The tables: two of work in thousands of MACs, one of keys scanned."""

    def kilo(macs):
        return f"{macs / 1e3:,.0f}"

    columns = [(f"{width}", kilo) for width in WIDTHS]
    table = report.table("set", *columns, title="thousands of MACs, by units")
    for name, macs in zip(names, by_width, strict=True):
        table.row(name, *macs)
    ranks = [f"linear, rank {rank}" for rank in reversed(RANKS)]
    labels = ["centroids", "linear", *ranks, "network"]
    columns = [(label, kilo) for label in labels]
    title = "thousands of MACs, by number of lists"
    table = report.table("set", "lists", *columns, title=title)
    for name, some in zip(names, rows, strict=True):
        macs = {(row["lists"], row["router"]): row["macs"] for row in some}
        for n_lists in [lists for lists, router in macs if router == "centroids"]:
            table.row(name, n_lists, *(macs[n_lists, label] for label in labels))
    few = [row for row in rows[0] if row["router"].startswith((f"{FEW}", "no log"))]
    labels = ["centroids", *(row["router"] for row in few)]
    columns = [(label, ",.0f") for label in labels]
    table = report.table("set", *columns, title="keys scanned, few queries or none")
    for name, some in zip(names, rows, strict=True):
        # Of centroids, the fewest lists come last.
        scanned = {row["router"]: row["keys"] for row in reversed(some)}
        table.row(name, *(scanned[label] for label in labels))


def main():
    arguments = parser(__doc__)
    add_sets(arguments)
    arguments.add_argument("--figure", help="file for the figure")
    arguments.add_argument("--n-jobs", type=int, help="sets at a time, by processes")
    args = arguments.parse_args()
    report = Report(args.json)
    names = available(args.sets, report)
    found = Parallel(args.n_jobs)(delayed(one)(name, args.cache) for name in names)
    by_width, by_lists, rows = zip(*found, strict=True)
    report.records = [row for some in rows for row in some]
    show(report, names, by_width, rows)
    if args.figure:
        draw(names, by_width, by_lists, args.figure)


if __name__ == "__main__":
    run(main)
