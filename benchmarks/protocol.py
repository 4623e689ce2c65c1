"""What the benchmarks of routers share: data, splits, and how a router is judged.

Queries are split by group into train, validation and test before anything else; all
routers share one partition of the keys.
"""

import json
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import normalize

from sk_amips import exact_search
from sk_amips.index._report import n_macs
from sk_amips.metrics import keys_scanned
from sk_amips.partition import Partition, spherical_kmeans

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
N_LISTS = {"debian": 246, "squad_nqg": 116}
RATES = (0.90, 0.95, 0.99)


@dataclass
class Problem:
    """Keys in lists, training queries, and two sets of queries with their answers."""

    keys: np.ndarray
    partition: Partition
    train: np.ndarray
    held_out: dict[str, tuple[np.ndarray, np.ndarray]]


def load(name):
    """Keys, queries and groups of a data set, as unit vectors."""
    with np.load(DATA / f"{name}.npz") as file:
        keys, queries = (
            normalize(file[part] * file[f"{part}_scale"][:, None].astype(np.float32))
            for part in ("keys", "queries")
        )
        return keys, queries, file["groups"]


def split(groups):
    """Rows of training, validation and test queries: 8, 1 and 1 of ten groups."""
    rows = np.arange(len(groups))
    halves = GroupShuffleSplit(1, test_size=0.2, random_state=0)
    train, rest = next(halves.split(rows, groups=groups))
    halves = GroupShuffleSplit(1, test_size=0.5, random_state=0)
    valid, test = next(halves.split(rest, groups=groups[rest]))
    return train, rest[valid], rest[test]


@cache
def problem(name, k=1):
    """A data set, split by group, with its lists and those of the k best keys."""
    keys, queries, groups = load(name)
    train, *halves = split(groups)
    partition = spherical_kmeans(keys, N_LISTS[name], seed=0)
    held_out = {}
    for part, half in zip(("valid", "test"), halves, strict=True):
        some = queries[half]
        _, best = exact_search(keys, some, k)
        held_out[part] = some, partition.labels_[best]
    return Problem(keys, partition, queries[train], held_out)


def judge(router, name, seed, k=1):
    """Fit a router; % of keys scanned on held-out queries, weights, and seconds."""
    data = problem(name, k)
    router = clone(router).set_params(
        keys=data.keys, partition=data.partition, random_state=seed
    )
    start = time.perf_counter()
    router.fit(data.train)
    row = {"seconds": time.perf_counter() - start, "weights": n_macs(router)}
    for part, (queries, best_lists) in data.held_out.items():
        scores = router.predict_partitions(queries)
        sizes = data.partition.sizes_
        shares = [keys_scanned(scores, best_lists, sizes, rate) for rate in RATES]
        row[part] = [100 * share for share in shares]
    return row


def compare(routers, name, *, k=1, n_seeds, n_jobs, output=None):
    """Judge routers by name, print a row of means over seeds for each, and keep all."""
    tasks = [
        (label, seed)
        for label, router in routers.items()
        for seed in range(n_seeds if hasattr(router, "max_epochs") else 1)
    ]
    found = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(judge)(routers[label], name, seed, k) for label, seed in tasks
    )
    print(
        f"{name}: % of keys scanned to visit the lists of 90/95/99 % of the {k} best "
        f"keys; {n_seeds} seeds"
    )
    print(f"{'router':<36}{'weights':>11}{'seconds':>9}   validation          test")
    rows = {}
    for i, ((label, _), row) in enumerate(zip(tasks, found, strict=True)):
        rows.setdefault(label, []).append(row)
        if i + 1 == len(tasks) or tasks[i + 1][0] != label:
            show(label, rows[label])
    if output is not None:
        output.write_text(json.dumps(rows, indent=1))
    return rows


def show(label, rows):
    """Print a row of the table."""
    shares = [
        np.mean([row[part] for row in rows], axis=0) for part in ("valid", "test")
    ]
    text = "   ".join(" ".join(f"{share:5.2f}" for share in part) for part in shares)
    seconds = np.mean([row["seconds"] for row in rows])
    spread = np.std([row["test"][1] for row in rows])
    print(
        f"{label:<36}{rows[0]['weights']:>11,}{seconds:>9.1f}   {text}"
        f"   (95 %: ± {spread:.2f})",
        flush=True,
    )
