"""Recall that AmortizedNeighbors promises and what new queries get.

    python benchmarks/target_recall.py debian

The router learns from one part of the queries; the others are divided, by group and
anew for each seed, into those that calibrate and those that are searched.
"""

import numpy as np
from corpora import ALL, load
from neighbors import add_router, fitted_router
from protocol import split
from sklearn.model_selection import GroupShuffleSplit
from tables import Report, parser, run

from sk_amips import AmortizedNeighbors, exact_search
from sk_amips.metrics import recall_at_k

TARGETS = (0.8, 0.9, 0.95, 0.99)


def main():
    arguments = parser(__doc__)
    arguments.add_argument("data", choices=ALL)
    arguments.add_argument("--k", type=int, nargs="+", default=[1, 10])
    arguments.add_argument("--lists", default="flat")
    arguments.add_argument("--n-seeds", type=int, default=5)
    arguments.add_argument(
        "--made-for", type=float, default=0.95, help="target of the constructor"
    )
    add_router(arguments)
    args = arguments.parse_args()
    report = Report(args.json)
    keys, queries, groups = load(args.data, args.cache)
    train, *halves = split(groups)
    rest = np.sort(np.concatenate(halves))
    held_out = queries[rest]
    seeds = [(f"{seed}", ".3f") for seed in range(args.n_seeds)]
    table = report.table(
        "k", "target", *seeds, ("mean", ".3f"), ("keys scanned", ".2%")
    )
    for k in args.k:
        router = fitted_router(
            args.data, keys, queries[train], k, args.device, args.cache
        ).set_params(device="cpu")
        exact, _ = exact_search(keys, held_out, k, device="cpu")
        recalls, shares = [], []
        for seed in range(args.n_seeds):
            divide = GroupShuffleSplit(1, test_size=0.5, random_state=seed)
            halves = next(divide.split(held_out, groups=groups[rest]))
            index = AmortizedNeighbors(
                router,
                lists=args.lists,
                k=k,
                target_recall=args.made_for,
                random_state=seed,
            ).fit(held_out[halves[0]])
            test = held_out[halves[1]]
            for target in TARGETS:
                found = index.search(test, target_recall=target)
                recalls.append(recall_at_k(exact[halves[1]], *found, k=k))
                n_keys = index.visited(test, target_recall=target)[1]
                shares.append(n_keys.mean() / len(keys))
        recalls, shares = (
            np.reshape(x, (args.n_seeds, len(TARGETS))).T for x in (recalls, shares)
        )
        for target, row, share in zip(TARGETS, recalls, shares, strict=True):
            table.row(k, target, *row, row.mean(), share.mean())


if __name__ == "__main__":
    run(main)
