"""Broken files are rejected with one error, whatever is wrong with them.

``python tests/persistence/test_fuzz.py 10000`` tries as many.
"""

import json
import shutil
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import sk_amips
from sk_amips import AmortizedNeighbors, LinearRouter, SupportNetRegressor
from sk_amips.persistence import InvalidFileError, _folder

rng = np.random.default_rng(0)
KEYS = rng.normal(size=(80, 4)).astype(np.float32)
QUERIES = rng.normal(size=(200, 4)).astype(np.float32)
VALUES = [None, True, -1, 0, 2**70, 1e308, "", "x", [], {}, {"array": "x"}, [1, [2]]]
VALUES += [{"float": "nan"}, {"same": "estimator"}, {"estimator": {}}, {"tuple": [1]}]


def make(folder):
    """Saved estimators, the pieces of which get broken."""
    net = SupportNetRegressor(
        KEYS, n_partitions=5, hidden_layer_sizes=(4,), max_epochs=1, random_state=0
    )
    index = AmortizedNeighbors(
        LinearRouter(KEYS, n_partitions=5, rank=2), k=2, target_recall=0.8
    )
    paths = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for name, estimator in {"net": net, "index": index}.items():
            paths.append(folder / name)
            estimator.fit(QUERIES).save(paths[-1], keys=True)
    return paths


def places(node, path=()):
    """All places of a tree of JSON."""
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node)
    if isinstance(node, dict | list):
        for name, child in items:
            yield from (
                places(child, (*path, name))
                if isinstance(child, dict | list)
                else [(*path, name)]
            )


def changed(content, rng):
    """The parameters with one place set to something else, left out or doubled."""
    content = json.loads(json.dumps(content))
    some = list(places(content))[1:]
    path = some[rng.integers(len(some))]
    parent = content
    for name in path[:-1]:
        parent = parent[name]
    kind = rng.integers(4)
    if kind == 0:
        del parent[path[-1]]
    elif kind == 1 and isinstance(parent[path[-1]], int | float):
        parent[path[-1]] = parent[path[-1]] * int(rng.integers(-3, 4)) + 1
    elif kind == 2:
        other = content
        for name in some[rng.integers(len(some))]:
            other = other[name]
        parent[path[-1]] = json.loads(json.dumps(other))
    else:
        parent[path[-1]] = VALUES[rng.integers(len(VALUES))]
    return content


def damaged(file, rng):
    """A file with bytes that are changed, cut off, or added."""
    data = bytearray(file.read_bytes())
    kind = rng.integers(3)
    if kind == 0:
        for _ in range(rng.integers(1, 9)):
            data[rng.integers(len(data))] = rng.integers(256)
    elif kind == 1:
        data = data[: rng.integers(len(data))]
    else:
        data += rng.bytes(9)
    file.write_bytes(data)


def one_case(source, folder, rng):
    """Break a copy, and load it: whether it was rejected."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    params = folder / "params.json"
    kind = rng.integers(4)
    if kind == 0:
        damaged(params, rng)
    elif kind == 1:
        params.write_text(json.dumps(changed(json.loads(params.read_text()), rng)))
    else:
        # With the right hash, as one who means harm would have it.
        names = ["weights.safetensors", "keys.npy"]
        name = names[rng.integers(2)]
        damaged(folder / name, rng)
        content = json.loads(params.read_text())
        content["files"][name] = _folder._describe(folder / name)
        if kind == 3:
            content["estimator"] = changed(content, rng).get("estimator", {})
        params.write_text(json.dumps(content))
    try:
        estimator = sk_amips.load(folder)
    except InvalidFileError:
        return True
    # What is accepted can be asked without a crash: a wrong answer is possible.
    errors = ArithmeticError, LookupError, RuntimeError, TypeError, ValueError
    with warnings.catch_warnings(), np.errstate(all="ignore"), suppress(*errors):
        warnings.simplefilter("ignore")
        estimator.search(QUERIES[:5], k=1)
    return False


def run(n, folder, seed=0):
    """Number of cases that were rejected."""
    sources = make(folder)
    rng = np.random.default_rng(seed)
    return sum(
        one_case(sources[rng.integers(2)], folder / "case", rng) for _ in range(n)
    )


def test_some_broken_files(tmp_path):
    assert run(150, tmp_path) > 75


@pytest.mark.slow
def test_many_broken_files(tmp_path):
    assert run(2000, tmp_path, seed=1) > 1000


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        n = int(sys.argv[1])
        print(f"{run(n, Path(folder)):,} of {n:,} broken files rejected, none else")
