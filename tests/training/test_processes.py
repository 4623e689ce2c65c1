"""Processes that share rows: parts, what is gathered from them, and means of them."""

from threading import Barrier, Thread

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sk_amips.training import (
    ONE,
    Batches,
    Matching,
    SeveralProcesses,
    TrainingData,
    processes_of,
)
from sk_amips.training import _processes as module
from sk_amips.training._loss import Step
from sk_amips.training._shared import SharedGradients


class Accelerators:
    """What Accelerate has for processes, for threads of one process."""

    def __init__(self, count):
        self.num_processes, self.barrier = count, Barrier(count, timeout=30)
        self.tensors = [None] * count

    def together(self, rank, tensor):
        self.barrier.wait()
        self.tensors[rank] = tensor
        self.barrier.wait()
        return list(self.tensors)

    def run(self, function):
        """Results of ``function(processes)`` in each of them."""
        results = [None] * self.num_processes

        def call(rank):
            try:
                results[rank] = function(SeveralProcesses(Rank(self, rank)))
            except ValueError as error:
                results[rank] = error

        threads = [Thread(target=call, args=(r,)) for r in range(self.num_processes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


class Rank:
    """An accelerator of one of the processes."""

    device = torch.device("cpu", 0)

    def __init__(self, all_of_them, rank):
        self.all_of_them, self.process_index = all_of_them, rank
        self.num_processes = all_of_them.num_processes
        self.is_main_process = rank == 0

    def gather(self, tensor):
        return torch.cat(self.all_of_them.together(self.process_index, tensor))

    def reduce(self, tensor, reduction):
        assert reduction == "sum"
        return torch.stack(self.all_of_them.together(self.process_index, tensor)).sum(0)


def ranks(count):
    return [SeveralProcesses(Rank(Accelerators(count), r)) for r in range(count)]


@given(st.integers(0, 3000), st.integers(2, 9))
def test_parts_cover_all_rows(n, count):
    parts = [p.part(n) for p in ranks(count)]
    rows = np.concatenate([np.arange(n)[part] for part in parts])
    np.testing.assert_array_equal(rows, np.arange(n))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 100), st.integers(2, 9))
def test_no_process_is_without_rows_of_a_batch(n, count):
    parts = [p.part_of_batch(n) for p in ranks(count)]
    assert all(part.start < part.stop for part in parts)
    # Each row is counted as often as any other.
    counted = np.zeros(n, dtype=int)
    for part in parts:
        counted[part] += 1
    assert len({*counted}) == 1


def test_one_process():
    assert processes_of(None) is processes_of(Rank(Accelerators(1), 0)) is ONE
    rows = np.arange(12.0).reshape(6, 2)
    assert rows[ONE.part(6)].shape == rows[ONE.part_of_batch(6)].shape == (6, 2)
    assert ONE.searched(lambda some: (some, None), rows)[0] is rows
    assert ONE.mean(lambda: 0.1, 0.0) == 0.1


def find(queries):
    """A search whose results tell which query they are of."""
    scores = queries[:, :1] * np.array([1.0, 10.0, 100.0])
    return scores.astype(np.float32), scores.astype(np.int64)[:, :, None]


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("n", [1, 255, 257, 1000, 1279])
@pytest.mark.parametrize("gathered", [1, 2**12, 2**27])
def test_searches_are_gathered(monkeypatch, n, count, gathered):
    """Block by block, into what one process finds, whatever the sizes are."""
    monkeypatch.setattr(module, "_GATHERED", gathered)
    if gathered == 1:  # row by row
        n = min(n, 300)
    queries = np.arange(float(n))[:, None]
    asked = []

    def search(some):
        asked.append(len(some))
        return find(some)

    for found in Accelerators(count).run(lambda p: p.searched(search, queries)):
        for ours, expected in zip(found, find(queries), strict=True):
            assert ours.dtype == expected.dtype
            np.testing.assert_array_equal(ours, expected)
    assert max(asked) <= n // count + 2 * module._UNIT


def test_without_indices():
    def search(p):
        return p.searched(lambda some: (some, None), np.ones((600, 2)))

    for scores, indices in Accelerators(2).run(search):
        assert indices is None
        assert scores.shape == (600, 2)


def test_means_are_weighted():
    weights, values = [3, 1, 0], [1.0, 5.0, np.nan]

    def mean(p):
        return p.mean(lambda: values[p._index], weights[p._index])

    assert Accelerators(3).run(mean) == [2.0] * 3


def test_a_flag_of_any():
    assert Accelerators(3).run(lambda p: p.any(p._index == 1)) == [True] * 3
    assert Accelerators(3).run(lambda p: p.any(False)) == [False] * 3


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        (np.arange(3), np.arange(3), True),
        (np.arange(3), np.arange(3.0), False),
        (np.zeros((2, 3)), np.zeros((3, 2)), False),
        (np.arange(6)[::2], np.array([0, 2, 4]), True),
        (np.zeros(40_000), np.eye(1, 40_000, 39_999)[0], False),
        (None, np.zeros(0), False),
        (["a", None], ["a", None], True),
        (["a", "b"], ["a", "c"], False),
        (2.5, 2.5, True),
    ],
)
def test_same_data_in_all(ours, theirs, same):
    def check(p):
        p.check_same(first=None, X=theirs if p._index else ours)

    for result in Accelerators(2).run(check):
        assert (result is None) == same
        assert same or str(result).startswith("X must be the same in all processes")


def linear_step(net):
    """What puts gradients of the mean squared output into the parameters."""

    def gradients(x, y):
        for parameter in net.parameters():
            parameter.grad = None
        loss = net(x["x"]).square().mean()
        loss.backward()
        loss = loss.detach()
        return Step(("score", "key"), torch.stack([loss, 2 * loss]), loss, None)

    return gradients


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("n", [1, 2, 7, 30])
@pytest.mark.parametrize("clip_norm", [None, 1e-3])
def test_gradients_are_those_of_the_batch(rng, n, count, clip_norm):
    """Of a loss that is a mean over rows, by size of the parts and clipped once."""
    x = torch.tensor(rng.normal(size=(n, 4)), dtype=torch.float32)

    def made():
        net = nn.Linear(4, 3)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(torch.arange(parameter.numel()).view(parameter.shape))
        net.bias.requires_grad_(False)
        return net

    def shared(p):
        net = made()
        parameters = list(net.parameters())
        step = SharedGradients(linear_step(net), parameters, p, clip_norm)
        found = step({"x": x[p.part_of_batch(n)]}, {})
        assert net.bias.grad is None
        return net.weight.grad, found

    net = made()
    step = linear_step(net)({"x": x}, {})
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(net.parameters(), clip_norm)
    results = Accelerators(count).run(shared)
    for gradient, found in results:
        assert torch.equal(gradient, results[0][0])
        torch.testing.assert_close(gradient, net.weight.grad, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.loss, step.loss)
        torch.testing.assert_close(found.terms, step.terms)


@pytest.mark.parametrize("which", ["all", 2])
@pytest.mark.parametrize("temperature", [None, 0.5])
def test_parts_of_batches(rng, which, temperature):
    """Together they are the batches of one process, with what is drawn for them."""
    n, c, d = 53, 5, 4
    data = TrainingData(
        rng.normal(size=(n, d)).astype(np.float32),
        rng.normal(size=(n, c)).astype(np.float32),
        best=rng.integers(10, size=(n, c, 1)),
        keys=rng.normal(size=(10, d)),
        weight=rng.uniform(size=n).astype(np.float32),
        matching=Matching(which, temperature),
    )

    def batches(processes):
        made = Batches(data, 10, seed=0)
        made.processes = processes
        assert made.sizes == [10] * 5 + [3]
        return [*made, *made]  # two epochs

    whole = batches(ONE)
    parts = [batches(processes) for processes in ranks(3)]
    for batch, *some in zip(whole, *parts, strict=True):
        for expected, *found in zip(batch, *some, strict=True):
            assert all(part.keys() == expected.keys() for part in found)
            for name, tensor in expected.items():
                joined = torch.cat([part[name] for part in found])
                torch.testing.assert_close(joined, tensor, rtol=0, atol=0)
