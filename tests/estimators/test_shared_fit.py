"""Fits that several processes share, and estimators that know of an accelerator."""

import copy
import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from sklearn.base import clone

import sk_amips
from sk_amips import AmortizedNeighbors, KeyNetRegressor

FILE = Path(__file__).with_name("fits_of_processes.py")
ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location(FILE.stem, FILE)
fits = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fits)


def launch(folder, *arguments):
    """What each of two processes has learned, and what they showed."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # It finds a free port by itself.
    launch = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, str(FILE), str(folder), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = []
    for rank in range(2):
        with np.load(folder / f"{rank}.npz") as file:
            found.append(dict(file))
    return found, done.stderr


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("processes"))


def test_processes_learn_the_same(launched):
    ours, theirs = launched[0]
    assert ours.keys() == theirs.keys()
    assert ours["count"] == 2
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    assert np.isfinite(ours["free: predicted"]).all()
    assert np.isfinite(ours["cold: predicted"]).all()


@pytest.mark.parametrize("case", list(fits.CASES))
def test_as_one_process(launched, case):
    """Labels to the bit, and weights but for the rounding of sums of gradients.

    That is some 1e-7 of a gradient of norm one, at most a rate of 0.05 and some 300
    steps: a few 1e-6 of the weights, which are near one, were nothing made smaller.
    """
    found = launched[0][0]
    one = fits.learned(case)
    prefix = f"{case}: "
    assert {n.removeprefix(prefix) for n in found if n.startswith(prefix)} == {*one}
    for name, expected in one.items():
        ours = found[prefix + name]
        if name.startswith("label ") or name in ("lists", "random"):
            assert ours.dtype == expected.dtype
            np.testing.assert_array_equal(ours, expected, err_msg=name)
        else:
            np.testing.assert_allclose(
                ours, expected, rtol=2e-5, atol=2e-5, err_msg=name
            )


def test_cases_are_what_they_are_named(launched):
    found = launched[0][0]
    weights = found["sgd: weights"]
    for case in ("tiny clip", "no clip", "all at once", "batches of one"):
        assert np.abs(found[f"{case}: weights"] - weights).max() > 1e-3, case
    for case in ("stop by recall", "stop by matches", "stop by loss"):
        assert 1 < len(found[f"{case}: history train_loss"]) < 30, case
    assert len(found["noise: label queries"]) == fits.N + 180 + 120


def test_all_stop_where_one_does(launched):
    assert [found["stopped: n_iter"] for found in launched[0]] == [2, 2]


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("diverged", "training diverged in epoch 1"),
        ("other queries", "X must be the same in all processes"),
        ("other seeds", "random_state must be the same in all processes"),
        ("other weights", "sample_weight must be the same in all processes"),
    ],
)
def test_errors_reach_all(launched, case, text):
    for found in launched[0]:
        assert str(found[f"error: {case}"]).startswith(text)


def test_one_process_shows_progress(launched):
    bars = launched[1].replace("\r", "\n").splitlines()
    ends = [bar for bar in bars if "labels: 100%" in bar]
    assert len({*ends}) == 1
    assert "601/601" in ends[0]
    assert sum("epochs:   0%" in bar for bar in bars) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_graphs_of_several_processes(tmp_path):
    """Recorded steps with the sum of gradients between them and the optimizer."""
    ours, theirs = launch(tmp_path, "cuda")[0]
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    for case in fits.GRAPHED:
        one = fits.learned(case, **fits.CUDA)
        for name in ("weights", "predicted", "history train_loss"):
            np.testing.assert_allclose(
                ours[f"{case}: {name}"], one[name], rtol=1e-3, atol=1e-3, err_msg=case
            )


@pytest.fixture
def alone():
    """An accelerator of a single process."""
    return Accelerator(cpu=True)


@pytest.mark.parametrize("case", ["adamw", "sampled lists", "stop by recall", "noise"])
def test_a_process_alone_is_as_without(alone, case):
    one, other = fits.learned(case), fits.learned(case, alone)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_device_is_that_of_the_accelerator(alone, make, log):
    est = make(accelerator=alone, device="auto").fit(log.train)
    assert est.net_.device == torch.device("cpu")
    for name in ("cpu", torch.device("cpu")):
        make(accelerator=alone, device=name, max_epochs=1).fit(log.train)
    est.set_params(device="cuda")
    with pytest.raises(ValueError, match="device='cuda' is not that of the acc"):
        est.fit(log.train)


def test_what_is_no_accelerator(make, log):
    with pytest.raises(ValueError, match="The 'accelerator' parameter"):
        make(accelerator="two").fit(log.train)


class Handle:
    """An accelerator that must not be copied."""

    num_processes, device = 1, torch.device("cpu")

    def gather(self, tensor):
        raise AssertionError

    reduce = gather

    def __reduce__(self):
        raise AssertionError("an accelerator is neither pickled nor copied")


def test_clones_share_it_and_pickles_have_none(make, log, tmp_path):
    est = make(accelerator=Handle()).fit(log.train)
    assert clone(est).accelerator is est.accelerator
    assert copy.copy(est).accelerator is est.accelerator
    est.save(tmp_path / "net")
    for again in (
        pickle.loads(pickle.dumps(est)),
        sk_amips.load(tmp_path / "net", est.keys_),
    ):
        assert again.accelerator is None
        np.testing.assert_array_equal(again.predict(log.test), est.predict(log.test))
        again.set_params(warm_start=True).fit(log.train)
    est.set_params(warm_start=True).fit(log.train).partial_fit(log.train)
    assert "accelerator" not in (tmp_path / "net" / "params.json").read_text()


def test_within_an_index(log):
    router = KeyNetRegressor(
        log.keys, n_partitions=10, accelerator=Handle(), max_epochs=2, random_state=0
    )
    index = AmortizedNeighbors(router, n_probe=3).fit(log.train)
    again = pickle.loads(pickle.dumps(index))
    np.testing.assert_array_equal(
        again.search(log.test, 2)[1], index.search(log.test, 2)[1]
    )
