"""How few keys have to be kept, and whether the estimate of recall holds.

    python benchmarks/compression.py --cache folder

Four of five groups of queries are known, the last fifth judges. For some sizes, the
recall that is estimated from the known queries beside the share of the judging queries
whose best key is kept; then the work of a linear router over lists that keep the kept
keys apart, and over plain ones, as in gains.py.
"""

import argparse

import numpy as np
from corpora import NAMES, load
from gains import split, stopped
from sklearn.model_selection import GroupShuffleSplit

from sk_amips import DatabaseCompressor, LinearRouter, exact_search
from sk_amips.compression._ranking import Ranking
from sk_amips.index._calibrate import choose_stop
from sk_amips.index._code_lists import CodeLists
from sk_amips.index._engine import Engine
from sk_amips.index._list_scores import list_scorer
from sk_amips.index._report import n_macs
from sk_amips.partition import spherical_kmeans

SHARES = (0.05, 0.1, 0.2, 0.4)
RECALLS = (0.8, 0.9, 0.95)


def estimates(best, groups, n_keys, n_seeds):
    """Estimates and truths by seed and share, and shares kept by seed and recall."""
    _, groups = np.unique(groups, return_inverse=True)
    sizes = [round(share * n_keys) for share in SHARES]
    found, kept = [], []
    for seed in range(n_seeds):
        parts = GroupShuffleSplit(1, test_size=0.2, random_state=seed)
        known, new = next(parts.split(best, groups=groups))
        ones = np.ones(len(known))
        ranking = Ranking(best[known], groups[known], ones, np.zeros(n_keys), 1)
        place = np.empty(n_keys, dtype=int)
        place[ranking.order] = np.arange(n_keys)
        truth = [(place[best[new, 0]] < size).mean() for size in sizes]
        found.append([ranking.recall(sizes), truth])
        kept.append([ranking.n_kept(recall) / n_keys for recall in RECALLS])
    return np.array(found), np.array(kept)


def work(name, cache):
    """Thousands of MACs with plain lists, and with lists of their own for the kept."""
    keys, queries, groups = load(name, cache)
    train, _, test = split(groups, 0)
    test = test[np.random.default_rng(0).permutation(len(test))[:2048]]
    best = exact_search(keys, queries[test])[1]
    compressor = DatabaseCompressor(keys, target_recall=0.99)
    compressor.fit(queries[train], groups=groups[train])
    lists = {
        "plain": spherical_kmeans(keys, round(len(keys) ** 0.5), seed=0),
        "apart": compressor.partition(random_state=0),
    }
    largest = float(np.linalg.norm(keys, axis=1).max())
    macs = []
    for partition in lists.values():
        router = LinearRouter(keys, partition=partition).fit(queries[train])
        codes = CodeLists(keys, partition, largest)
        engine = Engine(keys, codes, list_scorer(router))
        at = partition.labels_[best]
        stop = choose_stop(engine, queries[test], at, 0.95)
        scanned = stopped(engine, stop, queries[test], at)
        macs.append((n_macs(router) + keys.shape[1] * scanned) / 1e3)
    return len(compressor.kept_) / len(keys), *macs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--n-seeds", type=int, default=30)
    parser.add_argument("--cache", help="folder that keeps the sets that are made")
    args = parser.parse_args()
    shares = " | ".join(f"kept for {recall}" for recall in RECALLS)
    sizes = " | ".join(f"{share:.0%}" for share in SHARES)
    print(f"| set | {shares} | recall of {sizes} | mean difference | sd | 3 seeds |")
    print("|---" * (5 + len(RECALLS) + len(SHARES) - 1) + "|")
    for name in args.sets:
        keys, queries, groups = load(name, args.cache)
        best = exact_search(keys, queries, 32)[1]
        found, kept = estimates(best, groups, len(keys), args.n_seeds)
        off = found[:, 0] - found[:, 1]
        print(
            f"| {name} | "
            + " | ".join(f"{share:.2%}" for share in kept.mean(axis=0))
            + " | "
            + " | ".join(f"{recall:.3f}" for recall in found[:, 1].mean(axis=0))
            + f" | {off.mean():.4f} | {off.std(axis=0).max():.4f}"
            + f" | {np.abs(off[:3]).max():.3f} |",
            flush=True,
        )
    print("\n| set | kept for 0.99 | plain lists | lists apart |\n|---|---|---|---|")
    for name in args.sets:
        share, plain, apart = work(name, args.cache)
        print(f"| {name} | {share:.2%} | {plain:.0f} | {apart:.0f} |", flush=True)


if __name__ == "__main__":
    main()
