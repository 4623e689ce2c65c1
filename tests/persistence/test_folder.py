"""Folders: what is saved is what is loaded, or nothing is."""

import json
import os
import subprocess
import sys
import textwrap
from copy import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

import sk_amips
from sk_amips import AmortizedNeighbors, CentroidRouter, LinearRouter
from sk_amips.persistence import InvalidFileError, _replace

from .conftest import KEYS, QUERIES, answers, assert_same, net


def test_round_trip(fitted, tmp_path):
    fitted.save(tmp_path / "saved")
    again = sk_amips.load(tmp_path / "saved", KEYS)
    assert_same(fitted, again)
    assert again.keys_ is KEYS
    # Parameters are those of the original, and clones can be fitted.
    assert str(again) == str(fitted)
    clone(again).fit(QUERIES)
    # What was loaded can be saved.
    again.save(tmp_path / "more", keys=True)
    assert_same(fitted, sk_amips.load(tmp_path / "more"))
    assert sorted(os.listdir(tmp_path / "saved")) == [
        "params.json",
        "weights.safetensors",
    ]


def test_attributes_of_a_net(support, tmp_path):
    support.save(tmp_path / "saved")
    again = sk_amips.load(tmp_path / "saved", KEYS)
    assert again.loss_curve_ == support.loss_curve_
    assert again.n_iter_ == support.n_iter_
    assert again.history_ == support.history_
    assert again.key_norms_ == support.key_norms_
    state = again.random_state_.get_state()
    np.testing.assert_array_equal(state[1], support.random_state_.get_state()[1])


def test_an_index_stays_one(tmp_path):
    index = AmortizedNeighbors(FrozenEstimator(LinearRouter(KEYS).fit(QUERIES)))
    index.set_params(target_recall=0.9, k=1).fit(QUERIES).save(tmp_path / "saved")
    again = sk_amips.load(tmp_path / "saved", KEYS)
    assert again.router_ is again.learned_router_ is again.router.estimator
    assert again.partition_ is again.router_.partition_
    assert again.report_ == index.report_
    assert again.calibrations_[1].margin(0.95) == index.calibrations_[1].margin(0.95)


def test_keys_are_checked(support, tmp_path):
    support.save(tmp_path / "saved")
    with pytest.raises(InvalidFileError, match=r"shape is \[299, 6\], and was \[300"):
        sk_amips.load(tmp_path / "saved", KEYS[1:])
    with pytest.raises(InvalidFileError, match="dtype"):
        sk_amips.load(tmp_path / "saved", KEYS.astype(np.float64))
    with pytest.raises(InvalidFileError, match="hash"):
        sk_amips.load(tmp_path / "saved", KEYS[::-1])


def test_without_keys(support, tmp_path):
    support.save(tmp_path / "saved")
    bare = sk_amips.load(tmp_path / "saved")
    np.testing.assert_array_equal(bare.predict(QUERIES), support.predict(QUERIES))
    np.testing.assert_array_equal(bare.transform(QUERIES), support.transform(QUERIES))
    for needs_keys in (bare.search, bare.kneighbors, bare.score, bare.fit):
        with pytest.raises(ValueError, match=r"load\(path, keys=\.\.\.\)"):
            needs_keys(QUERIES)
    index = AmortizedNeighbors(CentroidRouter(KEYS), target_recall=0.9).fit(QUERIES)
    index.save(tmp_path / "index")
    with pytest.raises(ValueError, match=r"load\(path, keys=\.\.\.\)"):
        bare.save(tmp_path / "again")
    with pytest.raises(InvalidFileError, match="keys are given"):
        sk_amips.load(tmp_path / "index")


def test_queries_that_are_keys(tmp_path):
    router = CentroidRouter().fit(KEYS)
    router.save(tmp_path / "saved", keys=True)
    again = sk_amips.load(tmp_path / "saved")
    assert again.keys is None
    assert_same(router, again)


@pytest.mark.parametrize("lr_schedule", ["cosine", None])
def test_training_goes_on(tmp_path, lr_schedule):
    """With the optimizer, as if it had not stopped."""
    one = net(lr_schedule=lr_schedule).fit(QUERIES)
    one.save(tmp_path / "saved", optimizer=True)
    other = sk_amips.load(tmp_path / "saved", KEYS)
    for some in (one, other):
        some.partial_fit(QUERIES[:200]).partial_fit(QUERIES[200:])
    assert_same(one, other)
    other.set_params(warm_start=True).fit(QUERIES)
    with pytest.raises(ValueError, match="no optimizer"):
        LinearRouter(KEYS).fit(QUERIES).save(tmp_path / "x", optimizer=True)


def test_training_goes_on_without_the_optimizer(support, tmp_path):
    support.save(tmp_path / "saved")
    again = sk_amips.load(tmp_path / "saved", KEYS)
    before = answers(again)[2]
    again.partial_fit(QUERIES)
    assert not np.array_equal(answers(again)[2], before)


def test_what_cannot_be_saved(support, tmp_path):
    with pytest.raises(NotFittedError):
        net().save(tmp_path / "saved")
    made = copy(support).set_params(callbacks=[object()])
    with pytest.raises(TypeError, match=r"estimator\.callbacks\.0="):
        made.save(tmp_path / "saved")

    class Mine(LinearRouter):
        pass

    with pytest.raises(TypeError, match="Mine cannot be saved"):
        Mine(KEYS).fit(QUERIES).save(tmp_path / "saved")
    assert not any(tmp_path.iterdir())


def test_other_folders_are_left_alone(support, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="no saved estimator"):
        support.save(tmp_path)
    with pytest.raises(FileExistsError):
        support.save(tmp_path / "notes.txt")
    (tmp_path / "empty").mkdir()
    support.save(tmp_path / "empty")
    support.save(tmp_path / "new" / "folder")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_no_file_of_others_is_lost(support, tmp_path):
    """Not even beside a file that has the name of one of ours."""
    (tmp_path / "params.json").write_text('{"lr": 1}')
    with pytest.raises(FileExistsError, match="no saved estimator"):
        support.save(tmp_path)
    ours = tmp_path / "ours"
    support.save(ours)
    (ours / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"it holds notes\.txt"):
        support.save(ours)
    assert (ours / "notes.txt").read_text() == "mine"
    assert (tmp_path / "params.json").read_text() == '{"lr": 1}'
    assert_same(sk_amips.load(ours, KEYS), support)


def test_a_link_stays_one(support, tmp_path):
    support.save(tmp_path / "first")
    (tmp_path / "latest").symlink_to(tmp_path / "first")
    other = LinearRouter(KEYS, random_state=0).fit(QUERIES)
    other.save(tmp_path / "latest")
    assert (tmp_path / "latest").is_symlink()
    assert_same(sk_amips.load(tmp_path / "first", KEYS), other)


def test_saved_keys_stay(support, tmp_path):
    support.save(tmp_path / "net", keys=True)
    sk_amips.load(tmp_path / "net").save(tmp_path / "net")
    assert_same(sk_amips.load(tmp_path / "net"), support)
    support.save(tmp_path / "net", keys=False)
    assert not (tmp_path / "net" / "keys.npy").exists()
    other = LinearRouter(2 * KEYS, random_state=0).fit(QUERIES)
    support.save(tmp_path / "net", keys=True)
    other.save(tmp_path / "net")
    assert not (tmp_path / "net" / "keys.npy").exists()


def test_a_file_does_not_say_where_pickles_are(tmp_path):
    est = net(memory=str(tmp_path / "cache")).fit(QUERIES)
    est.save(tmp_path / "net")
    assert sk_amips.load(tmp_path / "net", KEYS).memory is None


def test_compiled_networks(tmp_path):
    compiled = {"compile": True, "compile__backend": "eager"}
    est = net(net_params=compiled).fit(QUERIES)
    est.save(tmp_path / "net")
    assert_same(sk_amips.load(tmp_path / "net", KEYS), est)


@pytest.mark.parametrize("can_exchange", [True, False])
def test_replaced_at_once(support, tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(_replace, "_exchanged", lambda one, other: False)
    support.save(tmp_path / "saved", keys=True)
    other = LinearRouter(KEYS, random_state=0).fit(QUERIES)
    other.save(tmp_path / "saved")
    assert os.listdir(tmp_path) == ["saved"]
    assert_same(sk_amips.load(tmp_path / "saved", KEYS), other)
    # A failure leaves the one before.
    monkeypatch.setattr(_replace, "_sync", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        support.save(tmp_path / "saved")
    assert os.listdir(tmp_path) == ["saved"]
    assert_same(sk_amips.load(tmp_path / "saved", KEYS), other)


@pytest.mark.slow
def test_a_kill_leaves_the_old_one_or_the_new_one(support, tmp_path):
    """The process dies at each system call on the way, one after the other."""
    support.save(tmp_path / "saved", keys=True)
    code = """
        import os, sys
        import sk_amips
        from sk_amips.persistence import _replace
        count = int(sys.argv[2])
        def dies(function):
            def wrapped(*args):
                global count
                count -= 1
                if count < 0:
                    os._exit(9)
                result = function(*args)
                if count == 0:
                    os._exit(9)
                return result
            return wrapped
        for name in ("_sync", "_take", "_exchanged"):
            setattr(_replace, name, dies(getattr(_replace, name)))
        old = sk_amips.load(sys.argv[1])
        old.n_samples_seen_ = 7
        old.save(sys.argv[1], keys=True)
    """
    found = set()
    for count in range(9):
        run = [sys.executable, "-c", textwrap.dedent(code), tmp_path / "saved"]
        done = subprocess.run([*run, str(count)], check=False, capture_output=True)
        assert done.returncode in (0, 9), done.stderr.decode()
        again = sk_amips.load(tmp_path / "saved")
        found.add(again.n_samples_seen_)
        if done.returncode == 0:
            break
    assert found == {support.n_samples_seen_, 7}
    assert done.returncode == 0


def test_damaged_files(support, tmp_path):
    folder = tmp_path / "saved"
    support.save(folder, keys=True)
    weights = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(weights[:-1])
    with pytest.raises(InvalidFileError, match="damaged"):
        sk_amips.load(folder)
    (folder / "weights.safetensors").write_bytes(weights[:-1] + b"x")
    with pytest.raises(InvalidFileError, match="damaged"):
        sk_amips.load(folder)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(InvalidFileError, match="missing"):
        sk_amips.load(folder)
    with pytest.raises(InvalidFileError, match="no saved estimator"):
        sk_amips.load(tmp_path / "nowhere")


def edited(folder, change):
    """The folder with other parameters."""
    content = json.loads((folder / "params.json").read_text())
    change(content)
    (folder / "params.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda c: c.update(format=99, sk_amips="9.9"), r"format 99 by sk_amips 9\.9"),
        (lambda c: c.update(format="1"), "not what save"),
        (lambda c: c.pop("files"), "not what save"),
        (lambda c: c["files"].update({"../x": {}}), "not known"),
        (lambda c: c["estimator"]["estimator"].update({"class": "list"}), "'list'"),
        (
            lambda c: c["estimator"]["estimator"].update(_secret=1),
            "no attribute _secret",
        ),
        (lambda c: c["estimator"]["estimator"].update(n_jobs="x"), "n_jobs"),
        (lambda c: c["estimator"]["estimator"].pop("lr"), "other parameters"),
        (lambda c: c.update(estimator={"dict": []}), "no estimator"),
        (lambda c: c.update(estimator={"eval": "1"}), "that can be made"),
    ],
)
def test_edited_parameters(support, tmp_path, change, match):
    support.save(tmp_path / "saved")
    with pytest.raises(InvalidFileError, match=match):
        sk_amips.load(edited(tmp_path / "saved", change), KEYS)


def test_architectures_are_checked_before_they_take_memory(support, tmp_path):
    def change(content):
        built = content["estimator"]["estimator"]["net_"]["dict"][0][1]["dict"]
        (sizes,) = [pair for pair in built if pair[0] == "module__hidden_sizes"]
        sizes[1] = [2**40]

    support.save(tmp_path / "saved")
    with pytest.raises(InvalidFileError, match="not those of the architecture"):
        sk_amips.load(edited(tmp_path / "saved", change), KEYS)


def test_pickled_arrays_are_not_read(support, tmp_path):
    support.save(tmp_path / "saved", keys=True)
    file = tmp_path / "saved" / "keys.npy"
    np.save(file, np.array([print], dtype=object), allow_pickle=True)
    from sk_amips.persistence._folder import _describe

    edited(
        tmp_path / "saved", lambda c: c["files"].update({"keys.npy": _describe(file)})
    )
    with pytest.raises(InvalidFileError, match="no keys"):
        sk_amips.load(tmp_path / "saved")


def test_a_device_that_is_not_here(support, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    copy(support).set_params(device="cuda").save(tmp_path / "saved")
    again = sk_amips.load(tmp_path / "saved", KEYS)
    assert again.device == "cuda"
    np.testing.assert_array_equal(again.predict(QUERIES), support.predict(QUERIES))
