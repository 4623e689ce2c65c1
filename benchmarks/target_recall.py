"""Recall that AmortizedNeighbors promises and what new queries get.

    python benchmarks/target_recall.py debian

The router learns from one part of the queries; the others are divided, by group and
anew for each seed, into those that calibrate and those that are searched.
"""

import argparse

import numpy as np
from neighbors import SHAPES, fitted_router
from protocol import load, split
from sklearn.model_selection import GroupShuffleSplit

from sk_amips import AmortizedNeighbors, exact_search
from sk_amips.metrics import recall_at_k

TARGETS = (0.8, 0.9, 0.95, 0.99)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=SHAPES)
    parser.add_argument("--k", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--lists", default="flat")
    parser.add_argument("--n-seeds", type=int, default=5)
    parser.add_argument("--device", default="auto", help="where the router learns")
    parser.add_argument("--cache", help="folder that keeps the routers' weights")
    args = parser.parse_args()
    keys, queries, groups = load(args.data)
    train, *halves = split(groups)
    rest = np.sort(np.concatenate(halves))
    held_out = queries[rest]
    print("| k | target | " + " | ".join(map(str, range(args.n_seeds))), end=" | ")
    print("mean | keys scanned |")
    print("|" + "---|" * (args.n_seeds + 4))
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
                router, lists=args.lists, k=k, target_recall=0.95, random_state=seed
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
            each = " | ".join(f"{recall:.3f}" for recall in row)
            print(
                f"| {k} | {target} | {each} | {row.mean():.3f} | {share.mean():.2%} |"
            )


if __name__ == "__main__":
    main()
