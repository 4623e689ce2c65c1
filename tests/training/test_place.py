from dataclasses import replace

import numpy as np
import pytest
import torch

from sk_amips.training import Batches, TrainingData
from sk_amips.training._place import _has_room, place, prefetched

N, D = 40, 3
CUDA = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
    ],
)


@pytest.fixture
def data(rng):
    return TrainingData(
        queries=rng.normal(size=(N, D)).astype(np.float32),
        scores=rng.normal(size=(N, 1)).astype(np.float32),
        best=rng.integers(10, size=(N, 1, 1)),
        keys=rng.normal(size=(10, D)),
    )


def test_on_a_cpu_nothing_is_copied(data):
    (placed,) = place([replace(data, rows=np.arange(5))], "cpu")
    assert placed.keys is data.keys
    assert np.shares_memory(placed.arrays["queries"].numpy(), data.queries)
    assert placed.rows.tolist() == [0, 1, 2, 3, 4]


# Tensors of the device "meta" have no values: only what is moved can be seen.
@pytest.mark.parametrize("device", ["meta", CUDA])
def test_parts_of_a_split_share_all(data, device):
    train, valid = place(data.split(0.25), device)
    assert train.keys is valid.keys
    assert train.keys.dtype == torch.float32
    for name, array in train.arrays.items():
        assert array is valid.arrays[name]
        assert len(array) == N
    assert (len(train.rows), len(valid.rows)) == (30, 10)


@pytest.mark.parametrize("device", ["meta", CUDA])
def test_other_data_share_the_keys_alone(data, device):
    part, _ = data.split(0.25)
    other = replace(data, queries=data.queries[:7], scores=data.scores[:7])
    train, valid = place([part, other], device)
    assert train.keys is valid.keys
    assert len(train.arrays["queries"]) == 30
    assert len(valid.arrays["queries"]) == 7
    assert train.rows is valid.rows is None


def test_what_takes_half_of_the_free_memory_stays(data, monkeypatch):
    split = data.split(0.25)
    n_bytes = 4 * data.keys.size + N * (4 * D + 4 + 8)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (2 * n_bytes, 0))
    assert all(placed.device.type == "cpu" for placed in place(split, "cuda"))
    assert not _has_room(torch.device("cuda"), n_bytes)
    assert _has_room(torch.device("cuda"), n_bytes - 1)


def test_batches_of_placed_data(data):
    parts = data.split(0.25)
    for part, placed in zip(parts, place(parts, "cpu"), strict=True):
        for one, other in zip(
            Batches(part, 7, seed=0),
            Batches(part, 7, seed=0, placed=placed),
            strict=True,
        ):
            assert torch.equal(one[0]["x"], other[0]["x"])
            assert torch.equal(one[1]["key_targets"], other[1]["key_targets"])


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_prefetched_are_all_batches_in_order(device, n):
    batches = [({"x": torch.full((3,), i)}, {"y": torch.ones(2)}) for i in range(n)]
    seen = list(prefetched(iter(batches), device))
    assert [x["x"].tolist() for x, _ in seen] == [[i] * 3 for i in range(n)]
    assert all(y["y"].device.type == device for _, y in seen)
    if device == "cpu":
        assert all(one is other for one, other in zip(seen, batches, strict=True))
