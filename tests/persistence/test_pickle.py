"""Pickles: as small as the weights, and free of what only this process has."""

import copy
import io
import pickle
import pickletools
import zipfile

import joblib
import numpy as np
import pytest

from sk_amips import CentroidRouter, SupportNetRegressor

from .conftest import KEYS, QUERIES, SMALL, assert_same


def test_round_trip(fitted):
    assert_same(fitted, pickle.loads(pickle.dumps(fitted)))
    assert_same(fitted, copy.deepcopy(fitted))
    assert copy.copy(fitted).keys_ is fitted.keys_


def test_no_torch_inside(fitted):
    """Nor an optimizer: nothing that other versions or devices could not read."""
    names = {
        argument
        for opcode, argument, _ in pickletools.genops(pickle.dumps(fitted))
        if "STRING" in opcode.name or "UNICODE" in opcode.name
    }
    assert not any(str(n).startswith(("torch", "skorch")) for n in names)


@pytest.mark.parametrize("params", [{}, {"n_partitions": 10}])
def test_size(params):
    params = SMALL | {"hidden_layer_sizes": (256, 256)} | params
    net = SupportNetRegressor(KEYS, **params).fit(QUERIES)
    n_bytes = sum(p.numel() * 4 for p in net.net_.module_.state_dict().values())
    assert len(pickle.dumps(net)) - KEYS.nbytes <= 1.1 * n_bytes


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "keys.npy", KEYS)
    return np.load(tmp_path / "keys.npy", mmap_mode="r")


@pytest.mark.parametrize("part", [slice(None), slice(100, 250)])
def test_mapped_keys_by_reference(mapped, part):
    keys = mapped[part]
    router = CentroidRouter(keys, n_partitions=5, random_state=0).fit(QUERIES)
    pickled = pickle.dumps(router)
    assert keys[:1].tobytes() not in pickled
    again = pickle.loads(pickled)
    assert isinstance(again.keys_, np.memmap)
    assert again.keys is again.keys_
    np.testing.assert_array_equal(again.keys_, keys)
    assert_same(router, again)


def test_mapped_keys_in_fortran_order(tmp_path):
    keys = np.memmap(tmp_path / "keys", "f4", "w+", shape=KEYS.shape, order="F")
    keys[:] = KEYS
    router = CentroidRouter(keys, n_partitions=5, random_state=0).fit(QUERIES)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(router)).keys_, KEYS)


def test_every_second_key_is_copied(mapped):
    router = CentroidRouter(mapped[::2], n_partitions=5, random_state=0).fit(QUERIES)
    again = pickle.loads(pickle.dumps(router))
    np.testing.assert_array_equal(again.keys_, KEYS[::2])


def test_a_file_that_is_gone(mapped, tmp_path):
    pickled = pickle.dumps(CentroidRouter(mapped, n_partitions=5).fit(QUERIES))
    (tmp_path / "keys.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"reference to .*keys\.npy"):
        pickle.loads(pickled)


def test_joblib(support, tmp_path):
    joblib.dump(support, tmp_path / "net.joblib", compress=1)
    assert_same(support, joblib.load(tmp_path / "net.joblib"))


def test_skops(fitted):
    """Every type inside is one of ours, and nothing is a pickle within."""
    skops = pytest.importorskip("skops.io")
    saved = skops.dumps(fitted)
    types = skops.get_untrusted_types(data=saved)
    assert all(name.startswith("sk_amips.") for name in types)
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        assert not any(
            archive.read(name).startswith(b"\x80") for name in archive.namelist()
        )
    assert_same(fitted, skops.loads(saved, trusted=types))
