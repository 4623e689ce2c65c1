"""What learnability_report estimates, and what held-out queries say.

    python benchmarks/learnability.py

Queries are split, by group or by row: four of five parts are known, the last one is
held out. Estimates are made from some of the known queries; the truth is the share of
held-out queries whose best key is not that of any of these queries, or of two or four
times as many. With --gain, SupportNets with default parameters are trained as well, to
see what the expected gain is worth (half an hour on two CPU cores).
"""

import time

import numpy as np
from corpora import EMBEDDED, add_sets, available, load
from sklearn.model_selection import GroupShuffleSplit
from tables import Report, parser, run

from sk_amips import SupportNetRegressor, exact_search, learnability_report
from sk_amips.learnability import MissingMass
from sk_amips.metrics import keys_scanned

FRACTIONS = (1 / 8, 1 / 4, 1 / 2, 1)


def known_and_held_out(groups, seed):
    """Rows of known queries, whole groups in random order, and of held-out ones."""
    divide = GroupShuffleSplit(1, test_size=0.2, random_state=seed)
    known, held_out = next(divide.split(groups, groups=groups))
    place = np.random.RandomState(seed).permutation(groups.max() + 1)
    return known[np.argsort(place[groups[known]], kind="stable")], held_out


def estimate(best, groups, n_known, seed):
    """Estimate, its standard error, truth, and both of these for more queries."""
    known, held_out = known_and_held_out(groups, seed)
    some = known[:n_known]
    wins = MissingMass(best[some], np.unique(groups[some], return_inverse=True)[1])
    row = [wins.standard_error]
    for factor in (1, 2, 4):
        n_seen = round(factor * n_known)
        seen = best[known[:n_seen]]
        truth = np.nan if n_seen > len(known) else ~np.isin(best[held_out], seen)
        row += [float(wins.extrapolate(factor)), np.mean(truth)]
    return row


def missing_mass(table, name, best, groups, n_seeds):
    """Add a row for each number of known queries, by group and by row."""
    for split, codes in [("group", groups), ("row", np.arange(len(best)))]:
        n_known = min(
            len(known_and_held_out(codes, seed)[0]) for seed in range(n_seeds)
        )
        for n in [1000] + [int(fraction * n_known) for fraction in FRACTIONS]:
            rows = np.array([estimate(best, codes, n, s) for s in range(n_seeds)])
            worst = np.abs(rows[:, 1] - rows[:, 2]).max()
            error, guess, truth, *more = rows.mean(axis=0)
            # Without a truth to compare with, an estimate says little.
            more[:2] = [np.nan if np.isnan(more[1]) else more[0], more[1]]
            more[2:] = [np.nan if np.isnan(more[3]) else more[2], more[3]]
            table.row(name, split, n, guess, truth, worst, error, *more)


def gains(table, name, keys, queries, groups, best):
    """Add what a network spares, beside what was expected of it."""
    known, held_out = known_and_held_out(groups, 0)
    for fraction in (1 / 16, 1 / 4, 1):
        some = known[: int(fraction * len(known))]
        report = learnability_report(
            keys, queries[some], groups=groups[some], random_state=0
        )
        net = SupportNetRegressor(keys, n_partitions="sqrt", random_state=0)
        net.fit(queries[some], groups=groups[some])
        lists, sizes = net.partition_.labels_[best[held_out]], net.partition_.sizes_
        by_net = net.predict_partitions(queries[held_out])
        by_centroids = queries[held_out] @ net.partition_.centroids_.T
        shares = [keys_scanned(s, lists, sizes, 0.95) for s in (by_centroids, by_net)]
        expected = report.missing_mass, report.shift, report.linear_gain
        ratio = shares[0] / shares[1]
        table.row(name, len(some), *expected, report.expected_gain, *shares, ratio)


def main():
    arguments = parser(__doc__)
    add_sets(arguments, default=EMBEDDED)
    arguments.add_argument("--n-seeds", type=int, default=3)
    arguments.add_argument("--gain", action="store_true", help="train networks, too")
    args = arguments.parse_args()
    report = Report(args.json)
    data = {}
    for name in available(args.sets, report):
        keys, queries, groups = load(name, args.cache)
        start = time.perf_counter()
        best = exact_search(keys, queries)[1][:, 0]
        labelling = time.perf_counter() - start
        data[name] = keys, queries, groups, best
        if not args.gain:
            start = time.perf_counter()
            found = learnability_report(
                keys, queries, groups=groups, max_queries=None, random_state=0
            )
            times = (time.perf_counter() - start) / labelling
            print(f"{name}, {times:.1f} times the exact labels:\n{found}\n")
            row = {"set": name, "times the exact labels": times, "report": str(found)}
            report.records.append(row)
    if args.gain:
        table = report.table(
            "data",
            ("queries", ","),
            ("missing mass", ".2f"),
            ("shift", ".2f"),
            ("linear gain", ".2f"),
            "expected",
            ("centroids scan", ".1%"),
            ("network scans", ".1%"),
            ("ratio", ".2f"),
        )
        for name, arrays in data.items():
            gains(table, name, *arrays)
        return
    shares = (
        "estimate",
        "truth",
        "largest error",
        "standard error",
        "twice: estimate",
        "truth",
        "four times: estimate",
        "truth",
    )
    columns = [(share, ".3f") for share in shares]
    table = report.table("data", "split by", ("queries", ","), *columns)
    for name, (_, _, groups, best) in data.items():
        missing_mass(table, name, best, groups, args.n_seeds)


if __name__ == "__main__":
    run(main)
