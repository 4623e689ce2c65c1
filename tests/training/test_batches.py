from dataclasses import replace

import numpy as np
import pytest
import torch

from sk_amips.losses import AmipsLoss, top_weights
from sk_amips.nn import DirectionalKeyNet, KeyNet, unit_rows
from sk_amips.training import Batches, Matching, TrainingData

N, C, D, K = 23, 4, 3, 2


@pytest.fixture
def data(rng):
    return TrainingData(
        queries=rng.normal(size=(N, D)).astype(np.float32),
        scores=rng.normal(size=(N, C)).astype(np.float32),
        best=rng.integers(10, size=(N, C, K)),
        keys=rng.normal(size=(10, D)),
        weight=rng.uniform(size=N).astype(np.float32),
        matching=Matching("all", temperature=0.5),
    )


def in_one(batches):
    """All batches as one, inputs and targets."""
    inputs, targets = zip(*batches, strict=True)
    return [
        {name: torch.cat([batch[name] for batch in parts]) for name in parts[0]}
        for parts in (inputs, targets)
    ]


def test_batches_in_order(data):
    batches = Batches(data, 5)
    assert len(batches) == len(list(batches)) == 5
    x, y = in_one(batches)
    np.testing.assert_array_equal(x["x"], data.queries)
    np.testing.assert_array_equal(y["score_targets"], data.scores)
    np.testing.assert_array_equal(y["weight"], data.weight)
    expected = data.keys[data.best].sum(axis=2)
    np.testing.assert_allclose(y["key_targets"], expected, rtol=1e-5)
    weights = top_weights(torch.from_numpy(data.scores), 0.5)
    assert torch.equal(y["score_partition_weight"], weights)
    assert torch.equal(y["key_partition_weight"], weights)


def test_each_pass_shuffles_anew(data):
    batches = Batches(data, 5, seed=0)
    first, second = (in_one(batches)[0]["x"].numpy() for _ in range(2))
    assert not np.array_equal(first, second)
    for one in (first, second):
        order = np.lexsort(one.T), np.lexsort(data.queries.T)
        np.testing.assert_array_equal(one[order[0]], data.queries[order[1]])
    again = in_one(Batches(data, 5, seed=0))[0]["x"]
    np.testing.assert_array_equal(again, first)


def test_batches_of_some_rows(data):
    rows = np.array([3, 20, 5])
    x, y = in_one(Batches(replace(data, rows=rows), 2))
    np.testing.assert_array_equal(x["x"], data.queries[rows])
    np.testing.assert_array_equal(y["score_targets"], data.scores[rows])


@pytest.mark.parametrize("consistency", [False, True])
@pytest.mark.parametrize("partitions", ["best", 2])
def test_matched_partitions(data, partitions, consistency):
    matching = Matching(partitions, temperature=0.5, consistency=consistency)
    batches = Batches(replace(data, matching=matching), 5)
    x, y = in_one(batches)
    chosen = x["partitions"].numpy()
    p = 1 if partitions == "best" else partitions
    assert chosen.shape == (N, p)
    best = np.take_along_axis(data.best, chosen[:, :, None], axis=1)
    expected = data.keys[best].sum(axis=2)
    np.testing.assert_allclose(y["key_targets"], expected, rtol=1e-5)
    scores = data.scores
    if consistency:
        scores = np.take_along_axis(scores, chosen, axis=1)
    np.testing.assert_array_equal(y["score_targets"], scores)
    if partitions == "best":
        np.testing.assert_array_equal(chosen[:, 0], data.scores.argmax(axis=1))
        assert "key_partition_weight" not in y
    else:
        mean = top_weights(torch.from_numpy(data.scores), 0.5).mean(dim=1)
        torch.testing.assert_close(
            y["key_partition_weight"], mean[:, None].expand(N, p)
        )
    # Validation sees the same samples in each epoch.
    assert torch.equal(in_one(batches)[0]["partitions"], x["partitions"])


def test_one_partition_has_no_weights(data):
    one = replace(data, scores=data.scores[:, :1], best=data.best[:, :1])
    x, y = in_one(Batches(one, 5))
    assert set(x) == {"x"}
    assert set(y) == {"score_targets", "weight", "key_targets"}


def test_scores_alone(data):
    x, y = in_one(Batches(replace(data, best=None, keys=None), 5))
    assert set(x) == {"x"}
    assert set(y) == {"score_targets", "weight", "score_partition_weight"}


def test_sampled_loss_of_a_key_net_is_unbiased(rng, generator):
    """Key loss and score consistency, through the batches and the criterion."""
    n, c = 40, 6
    data = TrainingData(
        queries=unit_rows(rng.normal(size=(n, D)))[1],
        scores=rng.normal(size=(n, c)).astype(np.float32),
        best=rng.integers(10, size=(n, c, 1)),
        keys=rng.normal(size=(10, D)),
    )
    net = DirectionalKeyNet(KeyNet(D, [8], c, generator=generator))
    loss = AmipsLoss(consistency=True)

    @torch.no_grad()
    def terms(partitions, seed=None):
        matching = Matching(partitions, temperature=0.5, consistency=True)
        ((x, y),) = Batches(replace(data, matching=matching), n, seed=seed)
        _, keys = net.scores_and_keys(**x)
        found = loss.terms(None, keys=keys, queries=x["x"], **y)
        return np.array([found["score"].item(), found["key"].item()])

    full = terms("all")
    estimates = np.array([terms(2, seed) for seed in range(300)])
    error = estimates.std(axis=0) / len(estimates) ** 0.5
    assert (np.abs(estimates.mean(axis=0) - full) < 4 * error).all()
    assert (error < 0.05 * full).all()


@pytest.mark.gpu
@pytest.mark.parametrize("room", [True, False])
def test_batches_are_the_same_on_a_gpu(data, room, monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    if not room:
        monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (100, 100))
    data = replace(data, matching=Matching("best", temperature=0.5))
    here, there = in_one(Batches(data, 5)), in_one(Batches(data, 5, device="cuda"))
    for one, other in zip(here, there, strict=True):
        assert set(one) == set(other)
        for name, values in other.items():
            assert values.is_cuda
            torch.testing.assert_close(values.cpu(), one[name])
