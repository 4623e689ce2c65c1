"""Every table and figure of README and docs, by one command.

    python benchmarks/run.py --quick
    python benchmarks/run.py --only gains neighbors

Each benchmark runs in a process of its own, on one thread unless it says otherwise, and
leaves ``<name>.json`` and its figures in the folder of results; ``report.md`` there has
all tables, each with the machine that it comes from. What needs data or packages that
are not here is skipped, and says so.

**All of it takes hours** on two cores, and less where there is a GPU to train on.
``--quick`` tries each on small sets that can be made anywhere, with one seed, in a
quarter of an hour: it shows that everything works, and its numbers mean little. They
have a folder of their own, ``results/quick``.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tables import SKIPPED, machine, versions

HERE = Path(__file__).resolve().parent
SMALL = ("phenotypes-small", "patches-small", "ratings-small")
THREADS = "OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS"


@dataclass(frozen=True)
class Job:
    """A script with its arguments.

    Attributes
    ----------
    name : str
        What its results are called: the script, and what it is about.
    full, quick : str or None
        Arguments. Without quick ones a quick run leaves the job out.
    page : str
        Where its tables are shown.
    figure, cache, n_jobs : bool
        Whether the script takes these options.
    """

    name: str
    full: str
    quick: str | None
    page: str
    figure: bool = False
    cache: bool = True
    n_jobs: bool = False

    @property
    def script(self):
        """Path of the script, in the repository."""
        stem = self.name.split("-")[0]
        folder = "examples" if stem == "quickstart" else "benchmarks"
        return f"{folder}/{stem}.py"

    def command(self, args):
        """Arguments of the process."""
        command = [sys.executable, str(HERE.parent / self.script)]
        command += shlex.split(self.quick if args.quick else self.full)
        if self.script.startswith("benchmarks"):
            command += ["--json", str(args.out / f"{self.name}.json")]
        if self.figure:
            command += ["--figure", str(args.out / f"{self.name}.png")]
        if self.cache:
            command += ["--cache", str(args.cache or args.out / "cache")]
        if self.n_jobs:
            command += ["--n-jobs", str(args.n_jobs)]
        return command


SMALL_SETS = f"--sets {' '.join(SMALL)}"
TWO_SETS = f"--sets {' '.join(SMALL[1:])}"
JOBS = (
    Job("quickstart", "", None, "README.md", cache=False),
    Job("corpora", "", SMALL_SETS, "docs/gains.md"),
    Job("gains", "", f"{SMALL_SETS} --n-queries 2000 --n-seeds 1", "docs/gains.md"),
    Job("choices", "", TWO_SETS, "docs/gains.md", figure=True, n_jobs=True),
    Job("compression", "", f"{SMALL_SETS} --n-seeds 3", "docs/compression.md"),
    Job("learnability", "", f"{SMALL_SETS} --n-seeds 1", "docs/learnability.md"),
    Job("learnability-seeds", "--n-seeds 30", None, "docs/learnability.md"),
    Job("controls", "", f"{SMALL_SETS} --n-seeds 1", "benchmarks/README.md"),
    Job(
        "routing",
        "debian --n-seeds 2",
        "phenotypes-small --only Centroid Linear defaults",
        "docs/routing.md",
        n_jobs=True,
    ),
    Job(
        "routing-squad_nqg",
        "squad_nqg --n-seeds 2",
        None,
        "docs/routing.md",
        n_jobs=True,
    ),
    Job(
        "routing-ten",
        'debian --k 10 --only CentroidRouter "free 1x320"',
        None,
        "docs/routing.md",
        n_jobs=True,
    ),
    Job(
        "ablation",
        "debian",
        "phenotypes-small --only base convexity",
        "docs/ablation.md",
        n_jobs=True,
    ),
    Job("ablation-squad_nqg", "squad_nqg", None, "docs/ablation.md", n_jobs=True),
    Job(
        "target_recall",
        "debian",
        "phenotypes-small --k 1 --n-seeds 2",
        "docs/neighbors.md",
    ),
    Job(
        "target_recall-made_for",
        "debian --made-for 0.99 --n-seeds 1",
        None,
        "docs/neighbors.md",
    ),
    Job(
        "neighbors",
        "debian --batch 2048 1",
        "phenotypes-small --k 1",
        "docs/neighbors.md",
        figure=True,
    ),
    Job("neighbors-squad_nqg", "squad_nqg", None, "docs/neighbors.md", figure=True),
    Job(
        "sharding",
        "",
        "--sets phenotypes-small --n-seeds 1 --epochs 3",
        "docs/guide/large_data.md",
    ),
    Job("saving", "", "--n-keys 10000", "docs/guide/saving.md", cache=False),
    Job(
        "speed",
        "training labels predict memory growth",
        "predict",
        "docs/speed.md",
        cache=False,
    ),
    Job(
        "speed-cuda",
        "training labels predict growth --device cuda",
        "training predict --device cuda",
        "docs/speed.md",
        cache=False,
    ),
    Job(
        "scaling",
        "--n-keys 1000000 3000000 10000000 --n-queries 10000 --epochs 5",
        "--n-keys 20000 40000 --n-queries 2000 --epochs 1 --n-iter 2",
        "docs/scaling.md",
        cache=False,
    ),
    Job(
        "many_gpus",
        "",
        "--processes 2 --cpu --n-queries 4000 --n-keys 2000 --width 32 --n-lists 20 "
        "--hidden 32 --epochs 2 --batch-size 512",
        "docs/guide/large_data.md",
        cache=False,
    ),
)
SCRIPTS = tuple(dict.fromkeys(Path(job.script).stem for job in JOBS))


def run(job, args):
    """Run a job; its status, and why it is not done or what it left out."""
    file, image, log = (
        args.out / (job.name + end) for end in (".json", ".png", ".log")
    )
    for old in (file, image, log):
        old.unlink(missing_ok=True)
    if args.quick and job.quick is None:
        return "skipped", "not in a quick run"
    command = job.command(args)
    start = time.perf_counter()
    with log.open("w") as output:
        env = os.environ | dict.fromkeys(THREADS.split(), "1") | {"MPLBACKEND": "Agg"}
        status = subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=HERE.parent
        ).returncode
    seconds = time.perf_counter() - start
    lines = log.read_text().strip().splitlines()
    if status == SKIPPED:
        return "skipped", lines[-1].removeprefix("skipped: ")
    if file.exists():
        found = json.loads(file.read_text())
    else:
        found = {"versions": versions(), "machine": machine(), "output": lines}
        found["command"] = ["python", job.script]
    found["quick"] = args.quick
    found |= {"status": "failed" if status else "done", "seconds": seconds}
    file.write_text(json.dumps(found, indent=1))
    if status:
        return "failed", "\n    ".join(["", *lines[-5:]])
    figure = (HERE.parent / job.script).with_suffix(".png")
    if job.script.startswith("examples") and figure.exists():
        shutil.copy(figure, image)
    left_out = "; ".join(found.get("left_out", []))
    return "done", f"in {seconds:.0f} s" + (f", without {left_out}" * bool(left_out))


def section(job, folder):
    """Part of the report with the tables and the figure of a job."""
    file = folder / f"{job.name}.json"
    if not file.exists():
        return []
    found = json.loads(file.read_text())
    lines = [f"## {job.name}", "", f"Shown on {job.page}."]
    lines += ["", "```", shlex.join(relative(found["command"])), "```"]
    quick = ", quick" * found.get("quick", False)
    lines += ["", f"On {described(found['machine'])}{quick}."]
    if found.get("status") != "done":
        lines += ["", "**Not finished**: what follows is a part."]
    for table in found.get("tables", []):
        lines += ["", table["markdown"]]
    for record in found.get("records", []):
        if "report" in record:
            lines += ["", "```", record["report"], "```"]
    if "output" in found:
        lines += ["", "```", *found["output"][-8:], "```"]
    for reason in found.get("left_out", []):
        lines += ["", f"Left out: {reason}."]
    if (folder / f"{job.name}.png").exists():
        lines += ["", f"![{job.name}]({job.name}.png)"]
    return [*lines, ""]


def relative(command):
    """A command with its paths seen from the repository."""
    return [part.removeprefix(f"{HERE.parent}/") for part in command]


def described(has):
    """A machine in words."""
    return ", ".join(filter(None, [has["cpu"], f"{has['cores']} cores", has["gpu"]]))


def write_report(folder):
    """Write the page with all tables that are in a folder."""
    lines = ["# Benchmarks", "", "On a CPU only ratios of times mean much."]
    for job in JOBS:
        lines += ["", *section(job, folder)]
    (folder / "report.md").write_text("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = sorted({*SCRIPTS, *(job.name for job in JOBS)})
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument("--quick", action="store_true", help="small sets, one seed")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder; benchmarks/results, or its folder quick, if not given",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        help="folder that keeps sets and routers; <out>/cache if not given",
    )
    parser.add_argument(
        "--n-jobs",
        type=int,
        default=2,
        help="processes of scripts that can use several",
    )
    args = parser.parse_args()
    args.out = (args.out or HERE / "results" / ("quick" * args.quick)).resolve()
    args.cache = args.cache and args.cache.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    failed = False
    for job in JOBS:
        if args.only and not {job.name, Path(job.script).stem} & set(args.only):
            continue
        status, why = run(job, args)
        failed |= status == "failed"
        print(f"{job.name:<20} {status:<8} {why}", flush=True)
    write_report(args.out)
    print(f"All tables: {args.out / 'report.md'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
