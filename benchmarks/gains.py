"""What a trained router spares on six sets of data, and whether the gate is right.

    python benchmarks/gains.py --n-queries 2000 all --n-seeds 3 --cache folder

Each set is split by group into queries to learn from, to calibrate on and to judge by,
anew for every seed. What is compared is the work with which a search visits the list of
the best key of 95 % of the judging queries: keys scanned, and multiply-accumulates with
those of the router, over those of plain centroids with equally many probes for all. The
gate is right where it chose a trained router and none that is not takes 2 % less work,
or the other way round; its choice is the best where no router at all does.
"""

import json
import warnings
from collections import Counter

import numpy as np
from corpora import add_sets, available, load
from sklearn.model_selection import GroupShuffleSplit
from tables import Report, parser, run

from sk_amips import AmortizedNeighbors, SupportNetRegressor, exact_search
from sk_amips.index._calibrate import calibrate, choose_stop
from sk_amips.index._code_lists import CodeLists
from sk_amips.index._engine import Engine
from sk_amips.index._gate import candidates
from sk_amips.index._list_scores import centroid_scorer, list_scorer
from sk_amips.metrics._work import n_macs

RECALL = 0.95
UNTRAINED = {"centroids", "optimistic"}
# What a row says of the gate.
GATE = "right", "best"


def split(groups, seed):
    """Rows to learn from, to calibrate on and to judge by: 7, 1 and 2 of ten groups."""
    rows = np.arange(len(groups))
    parts = GroupShuffleSplit(1, test_size=0.3, random_state=seed)
    train, rest = next(parts.split(rows, groups=groups))
    parts = GroupShuffleSplit(1, test_size=0.66, random_state=seed)
    valid, test = next(parts.split(rest, groups=groups[rest]))
    return train, rest[valid], rest[test]


def some_groups(rows, groups, n, seed):
    """About n of some rows, whole groups of them in random order."""
    if n == "all" or int(n) >= len(rows):
        return rows
    names, group = np.unique(groups[rows], return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))[group]
    return rows[np.argsort(order, kind="stable")[: int(n)]]


def stopped(engine, stop, queries, lists):
    """Mean keys scanned by score stop at the recall, of these very queries."""
    rule = calibrate(engine, queries, lists, *stop).likely_rule(RECALL)
    return engine.count_visits(queries, lists.shape[1], rule)[1].mean()


def probed(engine, queries, lists):
    """Mean keys scanned by equally many probes for all."""
    return stopped(engine, (None, None), queries, lists)


def judging(rows):
    """2,048 of some rows, at random."""
    return rows[np.random.default_rng(0).permutation(len(rows))[:2048]]


def work(keys, router, queries, best):
    """Mean keys scanned and MACs of a search for the best keys, by the best stop."""
    largest = float(np.linalg.norm(keys, axis=1).max())
    codes = CodeLists(keys, router.partition_, largest)
    engine = Engine(keys, codes, list_scorer(router))
    lists = router.partition_.labels_[best]
    stop = choose_stop(engine, queries, lists, RECALL)
    scanned = stopped(engine, stop, queries, lists)
    return scanned, n_macs(router) + keys.shape[1] * scanned


def gain(name, n, seed, params, cache):
    """One row of the table."""
    keys, queries, groups = load(name, cache)
    train, valid, test = split(groups, seed)
    train = some_groups(train, groups, n, seed)
    n_valid = max(500, len(train) // 7)
    valid = some_groups(valid, groups, n_valid, seed)
    k = params.get("top_k", 1)
    router = SupportNetRegressor(
        keys, n_partitions="sqrt", random_state=seed, device="auto", **params
    )
    index = AmortizedNeighbors(router, k=k, target_recall=RECALL, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        index.fit(queries[train], X_cal=queries[valid])
    report = index.report_
    exact, best = exact_search(keys, queries[test], k)
    lists = index.partition_.labels_[best]
    learned = Engine(keys, index._engine.lists, list_scorer(index.learned_router_))
    plain = Engine(keys, learned.lists, centroid_scorer(index.router_))
    width = keys.shape[1]
    own = {"centroids": index.partition_.centroids_.size}
    scanned = {"centroids": probed(plain, queries[test], lists)}
    truth = candidates(
        [index.learned_router_],
        learned,
        queries[test],
        lists,
        RECALL,
        X_train=np.random.default_rng(seed).permutation(queries[train]),
    )
    stop = report["share"], report["band"]
    own["index"] = n_macs(index.router_)
    scanned["index"] = stopped(index._engine, stop, queries[test], lists)
    chosen = report["chosen"]
    others = {name for name in truth if (name in UNTRAINED) != (chosen in UNTRAINED)}
    enough = {name: 1.02 * one.macs for name, one in truth.items()}
    found = index.search(queries[test])
    return {
        "set": name,
        "n_train": len(train),
        "n_valid": len(valid),
        "seed": seed,
        "chosen": chosen,
        "right": all(truth[chosen].macs <= enough[name] for name in others),
        "best": all(truth[chosen].macs <= macs for macs in enough.values()),
        "candidates": {key: one.work() for key, one in truth.items()},
        "recall": float(np.mean(found[0] >= exact - 1e-5 * np.abs(exact))),
        "keys": {key: float(value) for key, value in scanned.items()},
        "own": own,
        "n_keys": len(keys),
        "keys_ratio": float(scanned["index"] / scanned["centroids"]),
        "macs_ratio": float(
            (own["index"] + width * scanned["index"])
            / (own["centroids"] + width * scanned["centroids"])
        ),
        "hidden": str(getattr(index.learned_router_, "hidden_layer_sizes", "")),
    }


def add_row(table, name, rows):
    """Add a row for a set: counts, and geometric means over the seeds."""
    counts = Counter(row["chosen"] for row in rows).most_common()
    ratios = [geometric(rows, part) for part in ("keys_ratio", "macs_ratio")]
    table.row(
        name,
        rows[0]["n_train"],
        ", ".join(f"{chosen} {n}" for chosen, n in counts),
        *(f"{sum(row[part] for row in rows)} of {len(rows)}" for part in GATE),
        np.mean([row["recall"] for row in rows]),
        *ratios,
        max(row["keys_ratio"] for row in rows),
    )


def geometric(rows, part):
    """Geometric mean of a part of rows."""
    return float(np.exp(np.mean(np.log([row[part] for row in rows]))))


def main():
    arguments = parser(__doc__)
    add_sets(arguments)
    arguments.add_argument("--n-queries", nargs="+", default=["2000", "all"])
    arguments.add_argument("--n-seeds", type=int, default=3)
    arguments.add_argument("--params", type=json.loads, default={})
    args = arguments.parse_args()
    report = Report(args.json)
    sets = available(args.sets, report)
    table = report.table(
        "set",
        ("queries", ","),
        "chosen",
        "gate right",
        "best chosen",
        ("recall", ".3f"),
        ("keys", ".3f"),
        ("MACs", ".3f"),
        ("most keys", ".3f"),
    )
    for n in args.n_queries:
        of_all = []
        for name in sets:
            rows = [
                gain(name, n, seed, args.params, args.cache)
                for seed in range(args.n_seeds)
            ]
            of_all += rows
            report.records += rows
            add_row(table, name, rows)
        add_row(table, "all sets", [row | {"n_train": None} for row in of_all])


if __name__ == "__main__":
    run(main)
