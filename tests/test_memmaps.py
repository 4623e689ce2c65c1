import sys

import numpy as np
import pytest

from sk_amips._lists import parts_of_lists, whole_lists
from sk_amips._memmaps import as_reference, is_mapped, opened, release
from sk_amips._sharded import ShardedArray
from sk_amips._validation import key_norms
from sk_amips.exact import partition_search
from sk_amips.partition import Partition, spherical_kmeans

D = 32
MB = 2**20


@pytest.fixture
def keys(tmp_path, rng):
    np.save(tmp_path / "keys.npy", rng.normal(size=(500, D)))
    return np.load(tmp_path / "keys.npy", mmap_mode="r")


@pytest.mark.parametrize(
    "part", [slice(None), slice(3, 400), slice(499, None)], ids=str
)
@pytest.mark.parametrize("as_plain", [True, False])
def test_a_reference_is_to_the_same_numbers(keys, part, as_plain):
    some = np.asarray(keys[part]) if as_plain else keys[part]
    assert is_mapped(some)
    reference = as_reference(some)
    assert not isinstance(reference, np.ndarray)
    np.testing.assert_array_equal(opened(reference), keys[part])
    release(some)
    np.testing.assert_array_equal(some, opened(reference))


def test_what_is_in_memory_is_left_alone(keys):
    for array in (np.array(keys), keys + 1, None):
        assert not is_mapped(array)
        assert as_reference(array) is array
        release(array)


def test_changes_that_are_not_in_the_file_are_kept(tmp_path, keys):
    """Letting go of pages of a private map would undo them."""
    private = np.load(tmp_path / "keys.npy", mmap_mode="c")
    private[:] = 7
    release(private)
    assert (private == 7).all()


@pytest.fixture
def large(tmp_path):
    """A file of 64 MB."""
    rng = np.random.default_rng(0)
    part = rng.normal(size=(2**16, D)).astype(np.float32)
    np.save(tmp_path / "large.npy", np.tile(part, (8, 1)))
    return np.load(tmp_path / "large.npy", mmap_mode="r")


def resident() -> int:
    """Bytes of files in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[2]) * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("sharded", [True, False])
def test_a_pass_over_a_file_holds_little_of_it(large, sharded):
    keys = ShardedArray([large[:200_000], large[200_000:]]) if sharded else large
    labels = np.arange(len(large)) % 64
    partition = Partition(labels, np.zeros((64, D)))
    passes = {
        "norms": lambda: key_norms(keys),
        "k-means": lambda: spherical_kmeans(keys, 8, n_iter=1),
        "lists": lambda: [len(some) for some in whole_lists(keys, partition)],
        "labels": lambda: partition_search(
            keys, np.array(large[:20]), partition, max_memory=2**24
        ),
    }
    for run in passes.values():  # imports and pools of memory
        run()
    for name, run in passes.items():
        before = resident()
        run()
        assert resident() - before < 16 * MB, name
    # Without letting go, all of it would be there.
    before = resident()
    large.sum()
    assert resident() - before > 48 * MB
    release(large)
    assert resident() - before < 16 * MB


@pytest.mark.parametrize("in_file", [True, False])
def test_lists_are_whole(monkeypatch, keys, rng, in_file):
    monkeypatch.setattr("sk_amips._lists._GROUP", 100 * D * 8)
    partition = Partition(rng.integers(9, size=500), np.zeros((9, D)))
    blocks = list(whole_lists(keys if in_file else np.array(keys), partition))
    assert len(blocks) == 9
    for j, block in enumerate(blocks):
        np.testing.assert_array_equal(block, keys[partition.members(j)])


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize("budget", [1, 100 * D * 8, 2**20])
def test_parts_make_up_the_lists(keys, rng, in_file, budget):
    labels = rng.integers(9, size=500)
    source = keys if in_file else np.array(keys)
    seen = []
    for j, rows, block in parts_of_lists(source, labels, 30, 4, budget):
        assert 4 <= len(rows) <= 30
        assert (np.diff(rows) >= 0).all()
        assert (labels[rows] == j).all()
        np.testing.assert_array_equal(block, keys[rows].astype(np.float32))
        seen.append(np.unique(rows))
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(500))
