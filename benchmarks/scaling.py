"""What each stage costs as keys become more: seconds, and peak memory, keys in a file.

    python benchmarks/scaling.py --n-keys 1000000 3000000 10000000 --folder /scratch

Generated keys of 128 features in float32, in clusters, as make_mips_problem makes them,
but written to a file block by block. Every stage is one of the library's own; lists are
as many as the square root of the number of keys. Seconds are those of the processor, of
all threads together, and mean little but in comparison (with ``--device cuda`` those of
the clock); growth exponents are the slopes of lines through the logarithms. Memory is
the largest resident size within the stage, pages of files included (VmHWM of Linux).
"""

import gc
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from sklearn.frozen import FrozenEstimator
from tables import Report, parser, run

import sk_amips
from sk_amips import AmortizedNeighbors, SupportNetRegressor, exact_search
from sk_amips.exact import partition_search
from sk_amips.metrics import recall_at_k
from sk_amips.nn import unit_rows
from sk_amips.partition import spherical_kmeans

D, RANK, SPREAD, NOISE = 128, 32, 1.0, 0.6
BLOCK = 2**16


def directions(n, rng):
    """Random directions with a spectrum that falls off."""
    scale = np.exp(-((np.arange(D) / RANK) ** 2) / 2).astype(np.float32)
    return unit_rows(scale * rng.standard_normal((n, D), dtype=np.float32))[1]


def write_keys(file, n, rng):
    """Keys in about sqrt(n) clusters, written block by block."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (n, D)}
    centers = directions(round(n**0.5), rng)
    with file.open("wb") as out:
        np.lib.format.write_array_header_1_0(out, header)
        for start in range(0, n, BLOCK):
            some = centers[rng.integers(len(centers), size=min(BLOCK, n - start))]
            unit_rows(some + SPREAD * directions(len(some), rng))[1].tofile(out)
    return np.load(file, mmap_mode="r")


def make_queries(file, n, rng):
    """Noisy keys, each of another key."""
    # A map of its own, so that what it has read is no part of a stage.
    keys = np.load(file, mmap_mode="r")
    rows = np.sort(rng.choice(len(keys), n, replace=False))
    queries = unit_rows(keys[rows] + NOISE * directions(n, rng))[1]
    return queries[rng.permutation(n)]


class Stages:
    """Seconds and peak memory of stages."""

    def __init__(self, clock):
        self.clock = clock
        self.figures = {}

    @contextmanager
    def stage(self, name):
        gc.collect()
        forget_peak()
        start = self.clock()
        yield
        seconds = self.clock() - start
        self.figures[name] = {"seconds": seconds, "gib": peak() / 2**30}
        print(f"  {name:12} {seconds:9.1f} s {peak() / 2**30:6.2f} GiB", flush=True)


def forget_peak():
    # Where there is no such thing, the peak is that of all stages so far.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak():
    """Largest resident size since the peak was forgotten, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def measure(n, args, folder):
    """Figures of all stages for n keys."""
    rng = np.random.default_rng(0)
    at = Stages(time.process_time if args.device == "cpu" else time.perf_counter)
    with at.stage("write keys"):
        keys = write_keys(folder / "keys.npy", n, rng)
    n_train, n_cal, n_test = args.n_queries, 1000, 2000
    queries = make_queries(folder / "keys.npy", n_train + n_cal + n_test, rng)
    train, cal, test = np.split(queries, [n_train, n_train + n_cal])
    n_lists = round(n**0.5)
    device = args.device
    with at.stage("k-means"):
        partition = spherical_kmeans(keys, n_lists, n_iter=args.n_iter, device=device)
    with at.stage("labels"):
        exact_search(keys, train, device=device)
    memory = str(folder / "labels")
    with at.stage("targets"):
        options = {"with_indices": False, "memory": memory, "device": device}
        partition_search(keys, train, partition, **options)
    net = SupportNetRegressor(
        keys,
        partition=partition,
        max_epochs=args.epochs,
        device=device,
        memory=memory,
        noisy_queries=0,
        noisy_keys=0,
        random_state=0,
    )
    with at.stage("train"):  # targets are read
        net.fit(train)
    index = AmortizedNeighbors(
        FrozenEstimator(net), k=10, target_recall=0.95, random_state=0
    )
    with at.stage("index"):
        index.fit(cal)
    with at.stage("search"):
        scores, indices = index.search(test)
    with at.stage("save"):
        index.save(folder / "index")
    with at.stage("load"):
        again = sk_amips.load(folder / "index", keys)
    assert np.array_equal(again.search(test[:100])[1], indices[:100])
    exact, _ = exact_search(keys, test, 10, device=device)
    at.figures["recall"] = recall_at_k(exact, scores, indices)
    _, n_keys = index.visited(test)
    at.figures["keys scanned"] = float(n_keys.mean() / n)
    at.figures["router"] = index.report_["chosen"]
    at.figures["lists"] = n_lists
    return at.figures


def exponents(figures):
    """Growth of the seconds of each stage: slopes of lines through logarithms."""
    sizes = [float(n) for n in figures]
    names = [k for k, v in next(iter(figures.values())).items() if isinstance(v, dict)]
    slopes = {}
    for name in names:
        seconds = [figures[n][name]["seconds"] for n in figures]
        slopes[name] = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
    return slopes


def main():
    made = parser(__doc__)
    made.add_argument("--n-keys", type=int, nargs="+", default=[10**6])
    made.add_argument("--n-queries", type=int, default=20_000)
    made.add_argument("--epochs", type=int, default=10)
    made.add_argument("--n-iter", type=int, default=12, help="of k-means")
    made.add_argument("--device", default="cpu")
    made.add_argument("--folder", help="on a disk with room for the keys")
    args = made.parse_args()
    report = Report(args.json)
    figures = {}
    for n in args.n_keys:
        folder = Path(tempfile.mkdtemp(dir=args.folder))
        print(f"{n} keys", flush=True)
        try:
            figures[n] = measure(n, args, folder)
        finally:
            shutil.rmtree(folder)
        report.records.append({"n_keys": n} | figures[n])
        report.save()
    slopes = exponents(figures) if len(figures) > 1 else {}
    for what, form in (("seconds", ".1f"), ("gib", ".2f")):
        title = {"seconds": "Seconds", "gib": "Peak memory, GiB"}[what]
        columns = [(f"{n:,} keys", form) for n in figures]
        more = [("exponent", ".2f")] if what == "seconds" else []
        table = report.table("stage", *columns, *more, title=title)
        for name in [k for k, v in figures[n].items() if isinstance(v, dict)]:
            cells = [figures[n][name][what] for n in figures]
            table.row(name, *cells, *[slopes.get(name, np.nan)] * len(more))
    table = report.table(
        ("keys", ","), "lists", "router", ("recall@10", ".3f"), ("keys scanned", ".4f")
    )
    for n, found in figures.items():
        names = ("lists", "router", "recall", "keys scanned")
        table.row(n, *[found[name] for name in names])


if __name__ == "__main__":
    run(main)
