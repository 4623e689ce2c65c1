"""Sizes of saved estimators, how long an index takes to load, and parity of ONNX files.

    python benchmarks/saving.py

Generated keys; an index over 100,000 of them is saved and loaded again. Times are
relative to a plain read of its keys from the disk, cache warm.
"""

import pickle
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from tables import Report, parser, run

import sk_amips
from sk_amips import (
    AmortizedNeighbors,
    KeyNetRegressor,
    LinearRouter,
    OptimisticRouter,
    SupportNetRegressor,
)
from sk_amips.datasets import make_mips_problem


def best(function, n=3):
    """Least time of some calls, and the last result."""
    times = []
    for _ in range(n):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def sizes(report, folder):
    """Bytes of pickles and of folders, over those of the weights."""
    keys, queries, _ = make_mips_problem(2000, 2000, 64, random_state=0)
    table = report.table(
        "estimator", "weights, bytes", ("pickle", ".3f"), ("folder", ".3f")
    )
    options = {"max_epochs": 1, "random_state": 0}
    for label, net in {
        "SupportNet, 1 list": SupportNetRegressor(keys, **options),
        "SupportNet, 45 lists": SupportNetRegressor(
            keys, n_partitions="sqrt", hidden_layer_sizes=(512,), **options
        ),
        "KeyNet, 1 list": KeyNetRegressor(keys, **options),
    }.items():
        net.fit(queries)
        n_bytes = sum(4 * w.numel() for w in net.net_.module_.state_dict().values())
        pickled = len(pickle.dumps(net)) - keys.nbytes
        net.save(folder / "net")
        saved = sum(file.stat().st_size for file in (folder / "net").iterdir())
        table.row(label, n_bytes, pickled / n_bytes, saved / n_bytes)


def loading(report, folder, n_keys):
    """An index over many keys: loaded, and searched as before."""
    keys, queries, _ = make_mips_problem(
        n_keys, 6000, 128, norm_spread=0.2, random_state=0
    )
    index = AmortizedNeighbors(
        LinearRouter(keys, random_state=0), target_recall=0.95, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        index.fit(queries)
    index.save(folder / "index", keys=True)
    read, _ = best(lambda: np.load(folder / "index" / "keys.npy"))
    mapped, again = best(lambda: sk_amips.load(folder / "index"))
    given, _ = best(lambda: sk_amips.load(folder / "index", keys))
    found = zip(index.search(queries), again.search(queries), strict=True)
    same = all(np.array_equal(a, b) for a, b in found)
    table = report.table(
        ("keys", ","),
        ("load / read of keys", ".1f"),
        ("keys given / read", ".1f"),
        "same results",
    )
    table.row(n_keys, mapped / read, given / read, same)
    print(f"(loaded in {mapped:.2f} s, with the keys given in {given:.2f} s)")


def parity(report, folder):
    """Largest differences of ONNX files to the estimators, over what scores can be."""
    import onnxruntime

    keys, queries, _ = make_mips_problem(2000, 2500, 64, random_state=0)
    train, test = queries[:2000], queries[2000:]
    far = np.concatenate([1e-30 * test, 1e30 * test])
    options = {"n_partitions": "sqrt", "max_epochs": 3, "random_state": 0}
    table = report.table(
        "router", "method", ("queries of norm 1", ".0e"), ("of 1e-30 and 1e30", ".0e")
    )
    for router in (
        SupportNetRegressor(keys, **options),
        SupportNetRegressor(keys, base_score="optimistic", **options),
        KeyNetRegressor(keys, **options),
        LinearRouter(keys),
        OptimisticRouter(keys),
    ):
        router.fit(train)
        for what in ("predict", "transform", "partitions"):
            if not hasattr(router, "transform") and what == "transform":
                continue
            router.to_onnx(folder / "a.onnx", what)
            session = onnxruntime.InferenceSession(folder / "a.onnx")
            name = "predict_partitions" if what == "partitions" else what
            off = []
            for X in (test, far):
                (found,) = session.run(None, {"queries": X})
                expected = getattr(router, name)(X)
                norms = np.linalg.norm(X.astype(np.float64), axis=1)
                norms = norms if found.ndim == 1 else norms[:, None]
                size = 1.0 if found.shape == X.shape else norms
                off.append(float(np.max(np.abs(found - expected) / size)))
            label = f"{type(router).__name__} {getattr(router, 'base_score', '')}"
            table.row(label.strip(), name, *off)


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--n-keys", type=int, default=100_000)
    args = arguments.parse_args()
    report = Report(args.json)
    with tempfile.TemporaryDirectory() as folder:
        sizes(report, Path(folder))
        loading(report, Path(folder), args.n_keys)
        parity(report, Path(folder))


if __name__ == "__main__":
    run(main)
