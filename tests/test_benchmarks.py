"""Benchmarks start, are all run by one command, and keep what they print."""

import importlib
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sk_amips import exact_search
from sk_amips.metrics import recall_at_k
from sk_amips.partition import spherical_kmeans

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = sorted(
    {
        command.strip()
        for page in PAGES
        for command in re.findall(
            r"python (benchmarks/\w+\.py[^#`\n]*)", page.read_text()
        )
    }
)
# Where something is kept, and how many processes there are, changes no number.
NO_MATTER = {"--cache", "--figure", "--n-jobs"}


@pytest.fixture
def imported(monkeypatch):
    """Import a module of the benchmarks, and forget it afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if Path(file).parent == FOLDER:
            del sys.modules[name]


def scripts():
    """Files that can be run."""
    is_main = '__name__ == "__main__"'
    return sorted(p.name for p in FOLDER.glob("*.py") if is_main in p.read_text())


def helped(script, monkeypatch, capsys):
    """What a script says of its arguments."""
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(FOLDER / script), run_name="__main__")
    assert not end.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("script", scripts())
@pytest.mark.usefixtures("imported")
def test_help(script, monkeypatch, capsys):
    assert "--json" in helped(script, monkeypatch, capsys) or script == "run.py"


def test_all_scripts_are_run(imported):
    # The plan reads what another script has measured.
    assert {*imported("run").SCRIPTS, "run", "scaling_plan"} == {
        *(name.removesuffix(".py") for name in scripts()),
        "quickstart",
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_docs(command, imported, monkeypatch, capsys):
    path, *words = shlex.split(command)
    text = helped(Path(path).name, monkeypatch, capsys)
    options = {word for word in words if word.startswith("--")}
    assert options <= set(re.findall(r"--[\w-]+", text))
    if path.endswith("scaling_plan.py"):  # which measures nothing itself
        return
    jobs = [job for job in imported("run").JOBS if job.script == path]
    assert any(measured(words) <= measured(shlex.split(job.full)) for job in jobs)


def measured(words):
    """Arguments that say what is measured, each option with its values."""
    parts = [[]]
    for word in words:
        if word.startswith("--"):
            parts.append([])
        parts[-1].append(word)
    first = {(word,) for word in parts[0]}
    return first | {tuple(some) for some in parts[1:] if some[0] not in NO_MATTER}


def test_docs_name_commands():
    assert len(COMMANDS) > 5
    assert any("saving.py" in command for command in COMMANDS)


def test_quick_and_full_arguments(imported, tmp_path):
    run = imported("run")
    names = [job.name for job in run.JOBS]
    assert len(set(names)) == len(names)
    for job in run.JOBS:
        assert (ROOT / job.script).exists()
        assert (ROOT / job.page).exists()
        assert "debian" not in (job.quick or "")
        assert "diagnoses" not in (job.quick or "")


def test_table(imported, tmp_path, capsys):
    report = imported("tables").Report(tmp_path / "some" / "file.json")
    table = report.table("set", ("keys", ","), ("share", ".1%"), title="Sizes")
    table.row("one", np.int64(12_000), 0.123)
    table.row("two", 5, float("nan"))
    report.records.append({"array": np.arange(2), "most": np.inf})
    report.save()
    lines = ["Sizes:", "", "| set | keys | share |", "|---|---|---|"]
    lines += ["| one | 12,000 | 12.3% |", "| two | 5 | – |"]
    assert capsys.readouterr().out.strip().splitlines() == lines
    found = json.loads(report.file.read_text())
    assert found["tables"][0]["rows"] == [["one", 12_000, 0.123], ["two", 5, None]]
    assert found["tables"][0]["markdown"].splitlines() == lines
    assert found["records"] == [{"array": [0, 1], "most": None}]
    assert found["versions"]["torch"]
    assert found["machine"]["cores"] >= 1


@pytest.mark.parametrize(
    ("code", "status", "why"),
    [
        ("", "done", ""),
        ("import sys; print('skipped: no data'); sys.exit(77)", "skipped", "no data"),
        ("raise ValueError('of no use')", "failed", "of no use"),
    ],
)
def test_run(code, status, why, imported, monkeypatch, tmp_path, capsys):
    run = imported("run")

    class Job(run.Job):
        def command(self, args):
            return [sys.executable, "-c", code]

    job = Job("some", "", "", "README.md")
    monkeypatch.setattr(run, "JOBS", [job])
    monkeypatch.setattr(sys, "argv", ["run.py", "--quick", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        run.main()
    assert bool(end.value.code) == (status == "failed")
    shown = capsys.readouterr().out
    assert shown.startswith("some ")
    assert status in shown.splitlines()[0]
    assert why in shown
    assert ("## some" in (tmp_path / "report.md").read_text()) == (status != "skipped")


def test_a_report_has_no_results_of_earlier_runs(imported, monkeypatch, tmp_path):
    run = imported("run")
    write = "import json, sys; json.dump(FOUND, open(sys.argv[1], 'w'))"
    found = {"machine": {"cpu": "Abacus", "cores": 3, "gpu": None}, "command": ["some"]}

    class Job(run.Job):
        def command(self, args):
            code = write.replace("FOUND", repr(found))
            return [sys.executable, "-c", code, str(args.out / "some.json")]

    def report(*options):
        monkeypatch.setattr(sys, "argv", ["run.py", *options, "--out", str(tmp_path)])
        with pytest.raises(SystemExit):
            run.main()
        return (tmp_path / "report.md").read_text()

    monkeypatch.setattr(run, "JOBS", [Job("some", "", "", "README.md")])
    assert "On Abacus, 3 cores, quick." in report("--quick")
    (tmp_path / "some.png").touch()
    full = report()
    assert "On Abacus, 3 cores." in full
    assert "![some]" not in full
    monkeypatch.setattr(run, "JOBS", [Job("some", "", None, "README.md")])
    assert "## some" not in report("--quick")


def test_quick_results_have_a_folder_of_their_own(imported, monkeypatch, tmp_path):
    run = imported("run")
    monkeypatch.setattr(run, "JOBS", [])
    monkeypatch.setattr(run, "HERE", tmp_path)
    for options, folder in [([], "results"), (["--quick"], "results/quick")]:
        monkeypatch.setattr(sys, "argv", ["run.py", *options])
        with pytest.raises(SystemExit):
            run.main()
        assert (tmp_path / folder / "report.md").exists()


def test_skipped(imported, capsys):
    tables = imported("tables")

    def main():
        raise tables.Skip("no data")

    with pytest.raises(SystemExit) as end:
        tables.run(main)
    assert end.value.code == tables.SKIPPED
    assert capsys.readouterr().err == "skipped: no data\n"


def test_sets_that_are_missing(imported, monkeypatch, tmp_path, capsys):
    corpora, tables = imported("corpora"), imported("tables")
    monkeypatch.setattr(corpora, "DATA", tmp_path)
    report = tables.Report()
    assert corpora.available(["debian", "ratings"], report) == ["ratings"]
    assert len(report.left_out) == 1
    assert report.left_out[0].startswith("debian: ")
    with pytest.raises(tables.Skip, match="squad_nqg"):
        corpora.available(["squad_nqg"], report)
    with pytest.raises(tables.Skip, match="debian: no folder"):
        corpora.load("debian")


@pytest.mark.slow
def test_two_processes(tmp_path):
    file = tmp_path / "many.json"
    sizes = "--n-queries 600 --n-keys 300 --width 8 --n-lists 5 --hidden 8 --epochs 1"
    command = f"--processes 2 --cpu {sizes} --batch-size 100 --n-runs 1 --json {file}"
    script = str(FOLDER / "many_gpus.py")
    subprocess.run([sys.executable, script, *command.split()], check=True, timeout=300)
    found = json.loads(file.read_text())
    assert found["records"][0]["processes"] == 2
    rows = found["tables"][0]["rows"]
    assert [row[0] for row in rows] == ["labels", "training, batch 100"]
    assert rows[0][-1] == 0
    assert rows[1][-1] < 1e-5


def test_memoriser_knows_its_own_queries(imported):
    rng = np.random.default_rng(0)
    keys, queries = rng.normal(size=(300, 8)), rng.normal(size=(90, 8))
    partition = spherical_kmeans(keys, 10, seed=0)
    memory = imported("controls").Memoriser(keys, partition).fit(queries)
    scores, best = exact_search(keys, queries, 10)
    found = memory.search(queries, 10, n_probe=1)
    assert recall_at_k(scores, *found) == 1.0
    np.testing.assert_array_equal(memory.transform(queries), keys[best[:, 0]])
    first = memory.predict_partitions(queries).argmax(axis=1)
    np.testing.assert_array_equal(first, partition.labels_[best[:, 0]])


def test_interval_draws_groups(imported):
    controls = imported("controls")
    data = object.__new__(controls.Problem)
    recalls = np.repeat([0.0, 1.0], 200)
    data.groups = np.arange(400)
    low, high = data.interval(recalls)
    assert 0.4 < low < 0.5 < high < 0.6
    data.groups = np.repeat(np.arange(4), 100)  # four queries' worth of evidence
    low, high = data.interval(recalls)
    assert low < 0.2
    assert high > 0.8
