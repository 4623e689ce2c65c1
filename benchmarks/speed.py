"""How fast training, labelling and prediction are, against what they are made of.

``python benchmarks/speed.py training labels predict memory growth`` (or some of them);
``--device cuda`` for a GPU. Times are the best of a few runs, taken in turns in one
process; on a CPU only their ratios mean anything. See docs/speed.md.
"""

import argparse
import math
import re
import subprocess
import sys
import time
from pathlib import Path

import faiss
import numpy as np
import torch
from corpora import load, missing
from loops import bare_torch, stock_skorch
from tables import Report, Skip, parser, run

from sk_amips import KeyNetRegressor, SupportNetRegressor, exact_search
from sk_amips.estimators._build_net import build_net
from sk_amips.exact import _choice, partition_search
from sk_amips.exact._codes import BFloat16Codes, Float32Codes, Int8Codes
from sk_amips.partition import Partition
from sk_amips.training import Matching, TrainingData

# On a GPU training begins with the upload of data and the recording of a step.
N_EPOCHS = {"cpu": 2, "cuda": 25}


def best_times(functions, device, n_runs=4):
    """Seconds of the best run of each function, the first run left out."""
    times = {name: [] for name in functions}
    for _ in range(n_runs):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if device == "cuda":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - start)
    return {name: min(some[1:]) for name, some in times.items()}


def unit_rows(n, d, seed):
    rows = np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def net_and_data(cls, c, batch_size, d=384, n_steps=20, *, device, **params):
    """A net as an estimator builds it, and random data of that many steps."""
    rng = np.random.default_rng(0)
    keys, n = unit_rows(5000, d, 1), batch_size * n_steps
    estimator = cls(
        keys,
        partition=None if c == 1 else np.arange(5000) % c,
        batch_size=batch_size,
        max_epochs=N_EPOCHS[device],
        random_state=0,
        device=device,
        **params,
    )
    queries = unit_rows(n, d, 2)
    estimator._begin(queries[:10])
    learns_keys = cls is KeyNetRegressor or params.get("key_weight")
    data = TrainingData(
        queries,
        rng.uniform(0.1, 0.4, size=(n, c)).astype(np.float32),
        best=rng.integers(5000, size=(n, c, 1)) if learns_keys else None,
        keys=keys if learns_keys else None,
        best_lists=None if c == 1 else rng.integers(c, size=(n, 1)),
        matching=Matching(
            "all", 0.05 if c > 1 else None, consistency=cls is KeyNetRegressor
        ),
    )
    return build_net(estimator, data, seed=0), data


def training(device):
    """A step of the estimators' net against plain torch and stock skorch."""
    wide, small, n_epochs = (1024,) * 4, (256, 256), N_EPOCHS[device]
    settings = {
        "SupportNet 2x256, scores": (SupportNetRegressor, 1, 2048, small, 0.0),
        "SupportNet 2x256, keys matched": (SupportNetRegressor, 1, 2048, small, 10.0),
        "SupportNet 2x256, 138 lists": (SupportNetRegressor, 138, 2048, small, 0.0),
    }
    if device == "cuda":
        settings |= {
            "KeyNet 4x984": (KeyNetRegressor, 1, 4096, (984,) * 4, 1.0),
            "SupportNet 4x1024, keys matched": (
                SupportNetRegressor,
                1,
                4096,
                wide,
                10.0,
            ),
        }
    for name, (cls, c, batch_size, sizes, key_weight) in settings.items():
        net, data = net_and_data(
            cls,
            c,
            batch_size,
            device=device,
            hidden_layer_sizes=sizes,
            key_weight=key_weight,
        )
        ways = {
            "net": lambda net=net, data=data: net.partial_fit(data),
            "bare torch": lambda net=net, data=data, b=batch_size: bare_torch(
                net, data, n_epochs, b
            ),
        }
        if data.keys is None and c == 1:
            ways["stock skorch"] = lambda net=net, data=data, b=batch_size: (
                stock_skorch(net, data, n_epochs, b)
            )
        times = best_times(ways, device)
        n_steps = n_epochs * math.ceil(len(data) / batch_size)
        yield {
            "what": name,
            "parameters": sum(p.numel() for p in net.module_.parameters()),
            "batch": batch_size,
            "ms a step": 1e3 * times["net"] / n_steps,
            "net / bare torch": times["net"] / times["bare torch"],
            "stock skorch / net": times.get("stock skorch", np.nan) / times["net"],
        }


def labels(device):
    """Exact search, by each kind of code, against Faiss (on a CPU)."""
    problems = {"generated": (unit_rows(100_000, 384, 1), unit_rows(8192, 384, 2))}
    if device == "cuda":
        keys = unit_rows(600_000, 384, 1)
        problems = {
            f"generated, {n} queries": (keys, unit_rows(n, 384, 2))
            for n in (100_000, 500_000, 1_000_000)
        }
    elif not missing("debian"):
        keys, queries, _ = load("debian")
        # Stored in 8 bits, which would make codes of 8 bits exact.
        stretch = np.random.default_rng(0).normal(1, 0.1, 384).astype(np.float32)
        rows = np.random.default_rng(0).choice(len(queries), 8192, replace=False)
        problems["debian"] = keys * stretch, queries[rows] * stretch
    for name, (keys, queries) in problems.items():
        index = faiss.IndexFlatIP(keys.shape[1])
        if device == "cpu":
            index.add(keys)
        for k in (1, 10):
            ways = {"ours": lambda k=k, K=keys, Q=queries: search(K, Q, k, device)}
            if device == "cpu":
                ways["faiss"] = lambda k=k, index=index, Q=queries: index.search(Q, k)
                for codes in (Int8Codes, BFloat16Codes, Float32Codes):
                    ways[codes.__name__] = lambda k=k, K=keys, Q=queries, c=codes: (
                        search(K, Q, k, device, c)
                    )
            times = best_times(ways, device)
            chosen = _choice._by_speed(torch.device(device))[0].__name__
            row = {"what": f"{name}, k={k}", "chosen": chosen}
            if device == "cuda":
                yield row | {"queries a second": len(queries) / times["ours"]}
            else:
                ratios = {n: times["faiss"] / t for n, t in times.items()}
                yield row | {f"faiss / {n}": r for n, r in ratios.items()}


def search(keys, queries, k, device, codes=None):
    """An exact search, maybe with codes other than the fastest."""
    before = _choice._by_speed
    if codes is not None:
        _choice._by_speed = lambda device: [codes]
    try:
        return exact_search(keys, queries, k, device=device)
    finally:
        _choice._by_speed = before


def predict(device):
    """Prediction against the network alone."""
    keys, queries = unit_rows(10_000, 384, 1), unit_rows(4096, 384, 2)
    for cls in (SupportNetRegressor, KeyNetRegressor):
        est = cls(
            keys,
            hidden_layer_sizes=(256, 256),
            n_partitions=100,
            max_epochs=1,
            random_state=0,
            device=device,
        ).fit(queries)
        module = est.net_.module_.eval()
        for n, repeats in ((1, 200), (2048, 5)):
            X = queries[:n]

            def bare(X=X, module=module, repeats=repeats):
                with torch.no_grad():
                    for _ in range(repeats):
                        module.scores(torch.from_numpy(X).to(device)).cpu().numpy()

            def ours(X=X, est=est, repeats=repeats):
                for _ in range(repeats):
                    est.predict_partitions(X)

            times = best_times({"ours": ours, "bare": bare}, device)
            yield {
                "what": f"{cls.__name__}, batch {n}",
                "predict_partitions / module": times["ours"] / times["bare"],
                "us more": 1e6 * (times["ours"] - times["bare"]) / repeats,
            }


def memory(device):
    """Peak of memory of a labelling of a million keys, each in its own process."""
    for k, n_queries in ((1, 20_000), (10, 20_000), (0, 2000)):
        for budget in (64, 256):
            command = [sys.executable, __file__, "--peak", f"{k},{n_queries},{budget}"]
            out = subprocess.run(command, check=True, capture_output=True, text=True)
            what = f"k={k}" if k else "best of each of 1000 lists"
            yield {
                "what": f"{what}, {n_queries} queries",
                "budget MB": budget,
                "peak MB beside keys, queries and results": float(out.stdout),
            }


def peak(k, n_queries, budget):
    """MB that one search takes at most, beside its input and output."""
    keys, queries = unit_rows(1_000_000, 64, 1), unit_rows(n_queries, 64, 2)
    partition = Partition(np.arange(len(keys)) % 1000, np.zeros((1000, 64)))
    partition.members(0)
    # Libraries load their parts on first use.
    exact_search(keys[:5000], queries[:5000], device="cpu")
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    options = {"max_memory": budget * 2**20, "device": "cpu"}
    if k:
        found = exact_search(keys, queries, k, **options)
    else:
        found = partition_search(keys, queries, partition, **options)
    print(_status("VmHWM") - before - sum(a.nbytes for a in found) / 2**20)


def _status(name):
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+)", text).group(1)) / 1024


def growth(device):
    """Times against those of half the size."""
    steps = [("batch", b, 256) for b in (512, 1024, 2048, 4096)]
    steps += [("width", 2048, w) for w in (128, 256, 512, 1024)]
    before = {}
    for what, batch_size, width in steps:
        net, data = net_and_data(
            SupportNetRegressor,
            1,
            batch_size,
            device=device,
            hidden_layer_sizes=(width, width),
            key_weight=0.0,
        )
        time_ = best_times({"net": lambda n=net, d=data: n.partial_fit(d)}, device)
        size = batch_size if what == "batch" else width
        yield _grown(before, f"step, {what}", size, time_["net"])
    sizes = [("keys", n, 384) for n in (25_000, 50_000, 100_000)]
    sizes += [("width", 50_000, d) for d in (96, 192, 384)]
    for what, n, d in sizes:
        keys, queries = unit_rows(n, d, 1), unit_rows(4096, d, 2)
        ways = {"ours": lambda K=keys, Q=queries: exact_search(K, Q, device=device)}
        time_ = best_times(ways, device)
        size = n if what == "keys" else d
        yield _grown(before, f"labels, {what}", size, time_["ours"])


def _grown(before, what, size, seconds):
    last = before.get(what)
    before[what] = seconds
    return {
        "what": f"{what} {size}",
        "times that of half": seconds / last if last else np.nan,
    }


PARTS = {f.__name__: f for f in (training, labels, predict, memory, growth)}


# Times, which are not for tables where they say little.
TIMES = ("ms a step", "us more")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}")
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--n-threads", type=int, default=2)
    arguments.add_argument("--peak", help=argparse.SUPPRESS)
    args = arguments.parse_args()
    torch.set_num_threads(args.n_threads)
    faiss.omp_set_num_threads(args.n_threads)
    if args.peak:
        peak(*map(int, args.peak.split(",")))
        return
    if args.device == "cuda" and not torch.cuda.is_available():
        raise Skip("no CUDA device")
    report = Report(args.json)
    for name in args.parts or PARTS:
        table = None
        for row in PARTS[name](args.device):
            report.records.append({"part": name, "threads": args.n_threads, **row})
            if args.device == "cpu":
                row = {what: v for what, v in row.items() if what not in TIMES}
            if table is None:
                columns = [(what, number) for what in row]
                table = report.table(*columns, title=PARTS[name].__doc__.rstrip("."))
            table.row(*row.values())


def number(value):
    """Four digits of a number."""
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"


if __name__ == "__main__":
    run(main)
