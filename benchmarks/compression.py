"""How few keys have to be kept, and whether the estimate of recall holds.

    python benchmarks/compression.py --cache folder

Four of five groups of queries are known, the last fifth judges. For some sizes, the
recall that is estimated from the known queries beside the share of the judging queries
whose best key is kept; then the work of a linear router over lists that keep the kept
keys apart, and over plain ones, as in gains.py.
"""

import numpy as np
from corpora import add_sets, available, load
from gains import judging, split, work
from sklearn.model_selection import GroupShuffleSplit
from tables import Report, parser, run

from sk_amips import DatabaseCompressor, LinearRouter, exact_search
from sk_amips.compression._ranking import Ranking
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


def apart(name, cache):
    """Thousands of MACs with plain lists, and with lists of their own for the kept."""
    keys, queries, groups = load(name, cache)
    train, _, test = split(groups, 0)
    test = judging(test)
    best = exact_search(keys, queries[test])[1]
    compressor = DatabaseCompressor(keys, target_recall=0.99)
    compressor.fit(queries[train], groups=groups[train])
    lists = {
        "plain": spherical_kmeans(keys, round(len(keys) ** 0.5), seed=0),
        "apart": compressor.partition(random_state=0),
    }
    macs = []
    for partition in lists.values():
        router = LinearRouter(keys, partition=partition).fit(queries[train])
        macs.append(work(keys, router, queries[test], best)[1] / 1e3)
    return len(compressor.kept_) / len(keys), *macs


def main():
    arguments = parser(__doc__)
    add_sets(arguments)
    arguments.add_argument("--n-seeds", type=int, default=30)
    args = arguments.parse_args()
    report = Report(args.json)
    sets = available(args.sets, report)
    table = report.table(
        "set",
        *((f"kept for {recall}", ".2%") for recall in RECALLS),
        *((f"recall of {share:.0%}", ".3f") for share in SHARES),
        ("mean difference", ".4f"),
        ("standard deviation", ".4f"),
        ("largest of 3 seeds", ".3f"),
    )
    for name in sets:
        keys, queries, groups = load(name, args.cache)
        best = exact_search(keys, queries, 32)[1]
        found, kept = estimates(best, groups, len(keys), args.n_seeds)
        off = found[:, 0] - found[:, 1]
        errors = off.mean(), off.std(axis=0).max(), np.abs(off[:3]).max()
        table.row(name, *kept.mean(axis=0), *found[:, 1].mean(axis=0), *errors)
    table = report.table(
        "set",
        ("kept for 0.99", ".2%"),
        ("plain lists", ".0f"),
        ("lists apart", ".0f"),
        title="thousands of MACs of a linear router",
    )
    for name in sets:
        table.row(name, *apart(name, args.cache))


if __name__ == "__main__":
    run(main)
