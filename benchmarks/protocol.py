"""What the benchmarks of routers share: splits, and how a router is judged.

Queries are split by group into train, validation and test before anything else; all
routers share one partition of the keys.
"""

import time
from dataclasses import dataclass
from functools import cache

import numpy as np
from corpora import ALL, add_cache, load
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import GroupShuffleSplit
from tables import Report, parser, percents

from sk_amips import exact_search
from sk_amips.metrics import keys_scanned
from sk_amips.metrics._work import n_weights
from sk_amips.nn import budget_widths
from sk_amips.partition import Partition, spherical_kmeans

N_LISTS = {"debian": 246, "squad_nqg": 116}
RATES = (0.90, 0.95, 0.99)
# Parts of the queries that nothing is learned from.
PARTS = "valid", "test"


@dataclass
class Problem:
    """Keys in lists, training queries, and two sets of queries with their answers."""

    keys: np.ndarray
    partition: Partition
    train: np.ndarray
    held_out: dict[str, tuple[np.ndarray, np.ndarray]]


def split(groups):
    """Rows of training, validation and test queries: 8, 1 and 1 of ten groups."""
    rows = np.arange(len(groups))
    halves = GroupShuffleSplit(1, test_size=0.2, random_state=0)
    train, rest = next(halves.split(rows, groups=groups))
    halves = GroupShuffleSplit(1, test_size=0.5, random_state=0)
    valid, test = next(halves.split(rest, groups=groups[rest]))
    return train, rest[valid], rest[test]


def n_lists(name, keys):
    """Number of lists of a set: about the square root of that of the keys."""
    return N_LISTS.get(name, round(len(keys) ** 0.5))


def three_percent(name, keys):
    """Width of one layer with 3 % as many weights as the keys have numbers."""
    share = {"depth": 1, "fraction": 0.03, "out_features": n_lists(name, keys)}
    (width,) = budget_widths(*keys.shape, **share)
    return (min(width, 1024),)


@cache
def problem(name, k=1, folder=None):
    """A data set, split by group, with its lists and those of the k best keys."""
    keys, queries, groups = load(name, folder)
    train, *halves = split(groups)
    partition = spherical_kmeans(keys, n_lists(name, keys), seed=0)
    held_out = {}
    for part, half in zip(PARTS, halves, strict=True):
        some = queries[half]
        _, best = exact_search(keys, some, k)
        held_out[part] = some, partition.labels_[best]
    return Problem(keys, partition, queries[train], held_out)


def judge(router, name, seed, k=1, folder=None):
    """Fit a router; shares of keys scanned on held-out queries, weights, seconds."""
    data = problem(name, k, folder)
    router = clone(router).set_params(
        keys=data.keys, partition=data.partition, random_state=seed
    )
    start = time.perf_counter()
    router.fit(data.train)
    row = {"seconds": time.perf_counter() - start, "weights": n_weights(router)}
    for part, (queries, best_lists) in data.held_out.items():
        scores = router.predict_partitions(queries)
        sizes = data.partition.sizes_
        row[part] = [keys_scanned(scores, best_lists, sizes, rate) for rate in RATES]
    return row


def compare(routers, name, report, *, k, n_seeds, n_jobs, folder=None):
    """Judge routers by name: a row of means over seeds for each."""
    tasks = [
        (label, seed)
        for label, router in routers.items()
        for seed in range(n_seeds if hasattr(router, "max_epochs") else 1)
    ]
    found = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(judge)(routers[label], name, seed, k, folder) for label, seed in tasks
    )
    rates = " / ".join(f"{100 * rate:.0f}" for rate in RATES)
    what = "best key" if k == 1 else f"{k} best keys"
    table = report.table(
        "router",
        ("weights", ","),
        (f"validation {rates}", percents),
        (f"test {rates}", percents),
        ("±", percents),
        title=f"{name}: % of keys scanned to visit the lists of {rates} % of the {what}"
        f", and the standard deviation over {n_seeds} seeds at 95 % of test",
    )
    rows = []
    for i, ((label, seed), row) in enumerate(zip(tasks, found, strict=True)):
        report.records.append({"router": label, "seed": seed, "k": k, **row})
        rows.append(row)
        if i + 1 == len(tasks) or tasks[i + 1][0] != label:
            valid, test = (np.array([r[part] for r in rows]) for part in PARTS)
            spread = [test[:, 1].std()]
            means = valid.mean(axis=0), test.mean(axis=0)
            table.row(label, rows[0]["weights"], *means, spread)
            rows = []


def main(doc, routers):
    """Script that compares routers, made for the name and the keys of a set."""
    arguments = parser(doc)
    arguments.add_argument("data", choices=ALL)
    arguments.add_argument("--only", nargs="*", default=[""], help="parts of names")
    arguments.add_argument("--k", type=int, default=1, help="best keys wanted")
    arguments.add_argument("--n-seeds", type=int, default=1)
    arguments.add_argument("--n-jobs", type=int, default=1)
    add_cache(arguments)
    args = arguments.parse_args()
    keys, _, _ = load(args.data, args.cache)
    chosen = {
        label: router
        for label, router in routers(args.data, keys).items()
        if any(part in label for part in args.only)
    }
    report = Report(args.json)
    options = {"k": args.k, "n_seeds": args.n_seeds, "n_jobs": args.n_jobs}
    compare(chosen, args.data, report, **options, folder=args.cache)
