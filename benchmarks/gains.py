"""What a trained router spares on six sets of data, and whether the gate is right.

    python benchmarks/gains.py --n-queries 2000 all --n-seeds 3 --cache folder

Each set is split by group into queries to learn from, to calibrate on and to judge by,
anew for every seed. What is compared is the work with which a search visits the list of
the best key of 95 % of the judging queries: keys scanned, and multiply-accumulates with
those of the router, over those of plain centroids with equally many probes for all. The
gate is right where it chose a trained router and none that is not takes 2 % less work,
or the other way round; its choice is the best where no router at all does.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from corpora import NAMES, load
from sklearn.model_selection import GroupShuffleSplit

from sk_amips import AmortizedNeighbors, SupportNetRegressor, exact_search
from sk_amips.index._calibrate import calibrate
from sk_amips.index._engine import Engine
from sk_amips.index._gate import candidates
from sk_amips.index._list_scores import centroid_scorer, list_scorer
from sk_amips.index._report import n_macs

RECALL = 0.95
UNTRAINED = {"centroids", "optimistic"}


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--n-queries", nargs="+", default=["2000", "all"])
    parser.add_argument("--n-seeds", type=int, default=3)
    parser.add_argument("--params", type=json.loads, default={})
    parser.add_argument("--cache", help="folder that keeps the sets that are made")
    parser.add_argument("--json", type=Path, help="file for all that was measured")
    args = parser.parse_args()
    rows = []
    print("| set | queries | chosen | right | best | recall | keys | MACs |")
    print("|---|---|---|---|---|---|---|---|")
    for n in args.n_queries:
        for name in args.sets:
            some = [
                gain(name, n, seed, args.params, args.cache)
                for seed in range(args.n_seeds)
            ]
            rows += some
            chosen = ", ".join(sorted({row["chosen"] for row in some}))
            print(
                f"| {name} | {some[0]['n_train']:,} | {chosen} | "
                f"{np.mean([row['right'] for row in some]):.0%} | "
                f"{np.mean([row['best'] for row in some]):.0%} | "
                f"{np.mean([row['recall'] for row in some]):.3f} | "
                + " | ".join(
                    f"{geometric([row[part] for row in some]):.3f}"
                    for part in ("keys_ratio", "macs_ratio")
                )
                + " |",
                flush=True,
            )
        these = rows[-len(args.sets) * args.n_seeds :]
        print(
            f"{n} queries: geometric means of keys "
            f"{geometric([row['keys_ratio'] for row in these]):.3f} (at most "
            f"{max(row['keys_ratio'] for row in these):.3f}), of MACs "
            f"{geometric([row['macs_ratio'] for row in these]):.3f}"
        )
        if args.json:
            args.json.write_text(json.dumps(rows, indent=1))


def geometric(values):
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


if __name__ == "__main__":
    main()
