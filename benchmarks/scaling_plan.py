"""What a billion keys would cost, from what fewer have cost.

    python benchmarks/scaling_plan.py scaling.json --gpu scaling_cuda.json

Reads what ``scaling.py`` has measured. Every stage is modelled as work, in
multiply-accumulates, over a rate: the rate comes from the smallest number of keys, and
is checked against the larger ones (time measured over time predicted). With those of
the largest run the plan is made: bytes, work and hours of each stage.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tables import Report, parser, run

FLOAT, CODE = 4, 1


@dataclass(frozen=True)
class Problem:
    """Numbers of keys, features, queries and lists, and what else work depends on."""

    n: int
    d: int
    q: int
    c: int
    epochs: int = 5
    n_iter: int = 12
    width: int = 256
    n_calibrate: int = 1000
    n_search: int = 2000

    @property
    def sample(self):
        """Keys that centroids are found from."""
        most = max(40 * self.c, 2**29 // (FLOAT * self.d))
        return min(self.n, 256 * self.c, most)

    @property
    def work(self):
        """Multiply-accumulates of each stage."""
        n, d, q, c = self.n, self.d, self.q, self.c
        net = 2 * d * self.width + self.width * (self.width + c)
        return {
            "k-means": self.n_iter * self.sample * c * d + n * c * d,
            "labels": q * n * d,
            "targets": q * n * d,
            # Forward, and twice that backward.
            "train": 3 * self.epochs * q * net,
            # Codes are written once; the exact search of the calibration queries is
            # what counts.
            "index": self.n_calibrate * n * d,
        }

    @property
    def bytes(self):
        """Bytes that are kept, by what they are."""
        n, d, q, c = self.n, self.d, self.q, self.c
        return {
            "keys": FLOAT * n * d,
            "queries": FLOAT * q * d,
            "targets": FLOAT * q * c,
            "codes in lists": CODE * n * d,
            "list of each key": 12 * n,
            "network": FLOAT * (self.width * (2 * d + self.width + c) + c * d),
        }


def problems(file):
    """Problems of a run of scaling.py, with its seconds by stage."""
    content = json.loads(file.read_text())
    options = dict(zip(content["command"], content["command"][1:], strict=False))
    q = int(options.get("--n-queries", 20_000))
    epochs = int(options.get("--epochs", 10))
    for record in content["records"]:
        problem = Problem(record["n_keys"], 128, q, record["lists"], epochs)
        yield problem, {k: v["seconds"] for k, v in record.items() if type(v) is dict}


def check(report, title, runs):
    """Rates of the smallest problem, and how well they foretell the others."""
    (first, measured), *others = runs
    rates = {name: first.work[name] / measured[name] for name in first.work}
    table = report.table(
        "stage",
        (f"{first.n:,} keys: GMAC/s", ".1f"),
        *[(f"{p.n:,}: measured / predicted", ".2f") for p, _ in others],
        title=title,
    )
    for name, rate in rates.items():
        ratios = [seconds[name] * rate / p.work[name] for p, seconds in others]
        table.row(name, rate / 1e9, *ratios)


def plan(report, problem, rates, n_taught):
    """Bytes, work and hours of a problem."""
    table = report.table("what is kept", ("GB", ",.0f"), title="Bytes")
    for name, n_bytes in problem.bytes.items():
        table.row(name, n_bytes / 1e9)
    machines = [name for name in rates]
    table = report.table(
        "stage",
        ("work, MAC", ".1e"),
        *[(f"hours of {name}", ",.1f") for name in machines],
        title=f"Work, {n_taught:,} queries taught",
    )
    for name, work in problem.work.items():
        table.row(name, work, *[work / rates[m][name] / 3600 for m in machines])


def main():
    made = parser(__doc__)
    made.add_argument("measured", type=Path, help="of scaling.py")
    made.add_argument("--gpu", type=Path, help="of scaling.py --device cuda")
    made.add_argument("--n-keys", type=int, default=10**9)
    made.add_argument("--n-features", type=int, default=768)
    made.add_argument("--n-queries", type=int, default=10**8, help="in the log")
    made.add_argument("--per-list", type=int, default=500, help="queries to teach")
    args = made.parse_args()
    report = Report(args.json)
    rates = {}
    for name, file in (("one CPU thread", args.measured), ("one GPU", args.gpu)):
        if file is None:
            continue
        runs = list(problems(file))
        check(report, name, runs)
        last, seconds = runs[-1]
        rates[name] = {k: last.work[k] / seconds[k] for k in last.work}
    n_lists = round(args.n_keys**0.5)
    taught = min(args.n_queries, args.per_list * n_lists)
    problem = Problem(args.n_keys, args.n_features, taught, n_lists)
    plan(report, problem, rates, taught)


if __name__ == "__main__":
    run(main)
