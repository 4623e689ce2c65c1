"""Share of keys scanned until the best key's list is visited, by router.

Queries are split by group into train, validation and test before anything else. Each
variant is a SupportNet whose lists are visited in the order of its predicted support
values, a fixed number for all queries; the table has the share of keys scanned so that
the list of the best key is among them for 90, 95 and 99 % of queries, beside the order
of the lists' centroids. Choose by validation, report test.

Run ``python benchmarks/routing.py debian`` (or ``squad_nqg``): it needs the folder
``../shared/data`` beside the checkout; ``--device cuda`` trains on a GPU, and
``--output results.json`` keeps the rows.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import normalize

from sk_amips import SupportNetRegressor, exact_search

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
N_LISTS = {"debian": 246, "squad_nqg": 116}
RATES = (0.90, 0.95, 0.99)

VARIANTS = {
    "free 1x256": {"convexity": None, "hidden_layer_sizes": (256,), "lr": 5e-3},
    "free 1x320, batch 512": {
        "convexity": None,
        "hidden_layer_sizes": (320,),
        "lr": 5e-3,
        "batch_size": 512,
    },
    "free 1x1024": {"convexity": None, "hidden_layer_sizes": (1024,), "lr": 5e-3},
    "soft 1x1024": {
        "convexity": "soft",
        "rectifier": "abs",
        "hidden_layer_sizes": (1024,),
        "lr": 5e-3,
    },
    "strict 1x1024": {
        "convexity": "strict",
        "rectifier": "abs",
        "hidden_layer_sizes": (1024,),
        "lr": 1e-2,
    },
    "defaults": {},
}


def load(name):
    """Keys, queries and groups of a data set, as unit vectors."""
    with np.load(DATA / f"{name}.npz") as file:
        keys, queries = (
            normalize(file[part] * file[f"{part}_scale"][:, None].astype(np.float32))
            for part in ("keys", "queries")
        )
        return keys, queries, file["groups"]


def scanned(order, partition, best):
    """Share of keys in the lists visited, for each rate, all queries visiting equal."""
    rank = (order == partition.labels_[best][:, None]).argmax(axis=1)
    share = partition.sizes_[order].cumsum(axis=1) / len(partition.labels_)
    n_probes = np.quantile(rank, RATES, method="higher").astype(int)
    return [float(share[:, p].mean()) for p in n_probes]


def show(name, n_weights, seconds, validation, test):
    """Print a row of the table."""
    shares = "  ".join(f"{100 * s:6.2f}" for s in (*validation, *test))
    print(f"{name:<24}{n_weights:>9,}{seconds:>9.1f}  {shares}", flush=True)


def main():
    """Train every variant and print its row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=N_LISTS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--max-epochs", type=int, default=60)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()

    keys, queries, groups = load(options.data)
    split = GroupShuffleSplit(1, test_size=0.2, random_state=0)
    train, rest = next(split.split(queries, groups=groups))
    split = GroupShuffleSplit(1, test_size=0.5, random_state=0)
    halves = next(split.split(rest, groups=groups[rest]))
    parts = [queries[rest[half]] for half in halves]
    best = [exact_search(keys, part)[1][:, 0] for part in parts]

    print(f"{len(keys):,} keys, {len(train):,} training queries; % of keys scanned")
    print(f"{'router':<24}{'weights':>9}{'seconds':>9}  validation 90/95/99, test")
    rows = []
    for name, variant in VARIANTS.items():
        params = {"batch_size": 2048, "max_epochs": options.max_epochs} | variant
        router = SupportNetRegressor(
            keys,
            n_partitions=N_LISTS[options.data],
            device=options.device,
            random_state=0,
            **params,
        )
        start = time.perf_counter()
        router.fit(queries[train])
        seconds = time.perf_counter() - start
        partition = router.partition_
        if not rows:
            orders = [np.argsort(-part @ partition.centroids_.T) for part in parts]
            shares = [
                scanned(o, partition, b) for o, b in zip(orders, best, strict=True)
            ]
            rows.append(("centroids", partition.centroids_.size, 0.0, *shares))
            show(*rows[-1])
        orders = [np.argsort(-router.predict_partitions(part)) for part in parts]
        shares = [scanned(o, partition, b) for o, b in zip(orders, best, strict=True)]
        n_weights = sum(p.numel() for p in router.net_.module_.parameters())
        rows.append((name, n_weights, seconds, *shares))
        show(*rows[-1])
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
