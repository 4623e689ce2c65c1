"""What learnability_report estimates, and what held-out queries say.

    python benchmarks/learnability.py

Queries are split, by group or by row: four of five parts are known, the last one is
held out. Estimates are made from some of the known queries; the truth is the share of
held-out queries whose best key is not that of any of these queries, or of two or four
times as many. With --gain, SupportNets with default parameters are trained as well, to
see what the expected gain is worth (half an hour on two CPU cores).
"""

import argparse
import time

import numpy as np
from protocol import load
from sklearn.model_selection import GroupShuffleSplit

from sk_amips import SupportNetRegressor, exact_search, learnability_report
from sk_amips.learnability import MissingMass
from sk_amips.metrics import keys_scanned

NAMES = ("debian", "squad_nqg")
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


def missing_mass_table(name, best, groups, n_seeds):
    """Print a row for each number of known queries, by group and by row."""
    for split, codes in [("group", groups), ("row", np.arange(len(best)))]:
        n_known = min(
            len(known_and_held_out(codes, seed)[0]) for seed in range(n_seeds)
        )
        for n in [1000] + [int(fraction * n_known) for fraction in FRACTIONS]:
            rows = np.array([estimate(best, codes, n, s) for s in range(n_seeds)])
            worst = np.abs(rows[:, 1] - rows[:, 2]).max()
            means = rows.mean(axis=0)
            more = [
                "– | –" if np.isnan(truth) else f"{guess:.3f} | {truth:.3f}"
                for guess, truth in (means[3:5], means[5:7])
            ]
            print(
                f"| {name} | {split} | {n:,} | {means[1]:.3f} | {means[2]:.3f} | "
                f"{worst:.3f} | {means[0]:.3f} | {' | '.join(more)} |",
                flush=True,
            )


def gain_table(name, keys, queries, groups, best):
    """Print what a network spares, beside what was expected of it."""
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
        print(
            f"| {name} | {len(some):,} | {report.missing_mass:.2f} | "
            f"{report.shift:.2f} | {report.linear_gain:.2f} | {report.expected_gain} | "
            f"{shares[0]:.1%} | {shares[1]:.1%} | {shares[0] / shares[1]:.2f} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--n-seeds", type=int, default=3)
    parser.add_argument("--gain", action="store_true", help="train networks, too")
    args = parser.parse_args()
    data = {}
    for name in args.data:
        keys, queries, groups = load(name)
        start = time.perf_counter()
        best = exact_search(keys, queries)[1][:, 0]
        labelling = time.perf_counter() - start
        data[name] = keys, queries, groups, best
        if not args.gain:
            start = time.perf_counter()
            report = learnability_report(
                keys, queries, groups=groups, max_queries=None, random_state=0
            )
            times = (time.perf_counter() - start) / labelling
            print(f"{name}, {times:.1f} times the exact labels:\n{report}\n")
    if args.gain:
        print("| data | queries | missing mass | shift | linear gain ", end="")
        print("| expected | centroids scan | network scans | ratio |")
        print("|" + "---|" * 9)
        for name, arrays in data.items():
            gain_table(name, *arrays)
        return
    print("| data | split by | queries | estimate | truth | largest error ", end="")
    print("| standard error | twice: estimate | truth | four times: estimate | truth |")
    print("|" + "---|" * 11)
    for name, (_, _, groups, best) in data.items():
        missing_mass_table(name, best, groups, args.n_seeds)


if __name__ == "__main__":
    main()
