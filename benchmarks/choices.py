"""Work of a query by the width of the router, by noise, and without any log.

    python benchmarks/choices.py --cache folder

The numbers behind the defaults of SupportNetRegressor: keys scanned, and
multiply-accumulates with those of the router, with which a search visits the list of
the best key of 95 % of 2,048 held-out queries. One seed; splits and stops are those of
gains.py.
"""

import argparse

import numpy as np
from corpora import NAMES, load
from gains import probed, some_groups, split, stopped

from sk_amips import CentroidRouter, LinearRouter, SupportNetRegressor, exact_search
from sk_amips.index._calibrate import choose_stop
from sk_amips.index._code_lists import CodeLists
from sk_amips.index._engine import Engine
from sk_amips.index._list_scores import list_scorer
from sk_amips.index._report import n_macs
from sk_amips.partition import spherical_kmeans

NONE = {"noisy_queries": 0.0, "noisy_keys": 0.0}
WIDTHS = {
    f"1x{w}": {"hidden_layer_sizes": (w,), **NONE} for w in (16, 32, 64, 128, 256)
}
NOISE = {
    f"{n} noisy": {"noisy_queries": float(n), "noisy_keys": float(n)}
    for n in (0, 1, 4, 8, 16)
}
COLD = {
    f"no log, {noise}": {"noisy_keys": 2.0, "key_noise": noise, "max_epochs": 30}
    for noise in (0.3, 0.6, 1.0, 1.5)
}


def table(name, cache):
    """Print a row for each choice on one set."""
    keys, queries, groups = load(name, cache)
    partition = spherical_kmeans(keys, round(len(keys) ** 0.5), seed=0)
    common = {"partition": partition, "random_state": 0}
    largest = float(np.linalg.norm(keys, axis=1).max())
    lists = CodeLists(keys, partition, largest)
    train, _, test = split(groups, 0)
    test = test[np.random.default_rng(0).permutation(len(test))[:2048]]
    judging = queries[test]
    best = partition.labels_[exact_search(keys, judging)[1]]

    def row(label, router, log):
        router = router.fit(log)
        engine = Engine(keys, lists, list_scorer(router))
        stop = choose_stop(engine, judging, best, 0.95)
        fixed, scanned = (
            probed(engine, judging, best),
            stopped(engine, stop, judging, best),
        )
        macs = n_macs(router) + keys.shape[1] * scanned
        n = 0 if log is None else len(log)
        print(
            f"{name:<12}{n:>8,} {label:<14}{fixed:>8.0f}{scanned:>8.0f}{macs:>12,.0f}"
        )

    few, all_of_them = (
        queries[some_groups(train, groups, n, 0)] for n in (2000, "all")
    )
    row("centroids", CentroidRouter(keys, partition=partition), few)
    for log in (few, all_of_them):
        row("linear", LinearRouter(keys, partition=partition), log)
    for label, params in WIDTHS.items():
        row(label, SupportNetRegressor(keys, **common, **params), all_of_them)
    for log in (few, all_of_them):
        for label, params in NOISE.items():
            row(label, SupportNetRegressor(keys, **common, **params), log)
    for label, params in COLD.items():
        row(label, SupportNetRegressor(keys, **common, **params), None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--cache", help="folder that keeps the sets that are made")
    args = parser.parse_args()
    print(
        f"{'set':<12}{'queries':>8} {'router':<14}{'probes':>8}{'stop':>8}{'MACs':>12}"
    )
    for name in args.sets:
        table(name, args.cache)
