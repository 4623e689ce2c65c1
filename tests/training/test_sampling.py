import numpy as np
import pytest
import torch

from sk_amips.losses import gradient_matching, score_consistency, top_weights
from sk_amips.nn import DirectionalKeyNet, KeyNet, RadialSupportNet, SupportNet
from sk_amips.training._sampling import match_partitions

N, C, D = 5, 6, 4


@pytest.fixture
def scores(rng):
    return torch.from_numpy(rng.normal(size=(N, C)))


def test_all_and_best(scores):
    weights = top_weights(scores, 0.5)
    assert match_partitions(scores, "all", weights) == (None, weights)
    partitions, counts = match_partitions(scores, "best", weights)
    assert torch.equal(partitions.squeeze(1), scores.argmax(dim=1))
    assert counts is None


@pytest.mark.parametrize("which", ["best", "all", 1, 3])
def test_one_partition_is_never_sampled(scores, which):
    assert match_partitions(scores[:, :1], which) == (None, None)


def test_as_many_samples_as_partitions_are_all(scores):
    weights = top_weights(scores, 0.5)
    assert match_partitions(scores, C, weights) == (None, weights)


@pytest.mark.parametrize("weighted", [False, True])
def test_draws_follow_the_weights(scores, weighted, generator):
    weights = top_weights(scores, 0.5) if weighted else None
    drawn = torch.zeros(N, C, dtype=torch.float64)
    for _ in range(4000):
        partitions, counts = match_partitions(scores, C - 1, weights, generator)
        drawn.scatter_add_(1, partitions, torch.ones_like(partitions).double())
    assert partitions.shape == (N, C - 1)
    share = torch.full((N, C), 1 / C, dtype=torch.float64)
    if weighted:
        share = weights / weights.sum(dim=1, keepdim=True)
        expected = weights.mean(dim=1, keepdim=True).expand(-1, C - 1)
        torch.testing.assert_close(counts, expected)
    # Four standard errors of a share of a half in 20,000 draws.
    drawn /= drawn.sum(dim=1, keepdim=True)
    torch.testing.assert_close(drawn, share, rtol=0, atol=0.015)


def nets():
    generator = torch.Generator().manual_seed(0)
    support = SupportNet(D, [8], C, inject_output=True, generator=generator)
    yield pytest.param(RadialSupportNet(support), id="SupportNet")
    key = KeyNet(D, [8], C, residual=True, generator=generator)
    yield pytest.param(DirectionalKeyNet(key), id="KeyNet")


def gradients(net, loss):
    return torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)


@pytest.mark.parametrize("net", list(nets()))
def test_the_sampled_loss_and_its_gradient_are_unbiased(net, scores, rng, generator):
    """Over every list in proportion to its probability, the estimate is the full sum.

    With c draws that are each list once, weighted by its probability, the mean over
    draws is the expectation itself: nothing is left to chance.
    """
    x = torch.from_numpy(rng.normal(size=(N, D))).float()
    targets = torch.from_numpy(rng.normal(size=(N, C, D))).float()
    weights = top_weights(scores, 0.5).float()
    full = gradient_matching(net.scores_and_keys(x)[1], targets, None, weights)

    counts = match_partitions(scores, 1, weights, generator)[1].expand(-1, C)
    every = torch.arange(C).expand(N, -1)
    probability = weights / weights.sum(dim=1, keepdim=True)
    keys = (
        net.heads(x, every)
        if isinstance(net, DirectionalKeyNet)
        else (net.scores_and_keys(x, every)[1])
    )
    # A mean over C draws counts each 1 / C, in place of its probability.
    expectation = gradient_matching(keys, targets, None, C * probability * counts)
    torch.testing.assert_close(expectation, full)
    for one, other in zip(
        gradients(net, expectation), gradients(net, full), strict=True
    ):
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", list(nets()))
def test_samples_average_to_the_full_loss(net, scores, rng, generator):
    x = torch.from_numpy(rng.normal(size=(N, D))).float()
    targets = torch.from_numpy(rng.normal(size=(N, C, D))).float()
    weights = top_weights(scores, 0.5).float()
    with torch.no_grad():
        keys = net.scores_and_keys(x)[1]
        full = gradient_matching(keys, targets, None, weights).item()
        estimates = []
        for _ in range(400):
            partitions, counts = match_partitions(scores, 2, weights, generator)
            some = partitions.unsqueeze(2)
            estimate = gradient_matching(
                net.scores_and_keys(x, partitions)[1],
                targets.take_along_dim(some, dim=1),
                None,
                counts,
            )
            estimates.append(estimate.item())
    error = np.std(estimates) / len(estimates) ** 0.5
    assert abs(np.mean(estimates) - full) < 4 * error
    assert error < 0.1 * full


def test_heads_are_those_of_all_keys(rng):
    net = KeyNet(D, [8, 8], C, residual=True)
    x = torch.from_numpy(rng.normal(size=(N, D))).float()
    partitions = torch.from_numpy(rng.integers(C, size=(N, 3)))
    keys = net.heads(x, partitions)
    expected = net(x).take_along_dim(partitions.unsqueeze(2), dim=1)
    torch.testing.assert_close(keys, expected)
    loss, full = (score_consistency(k, x, torch.zeros(N, 3)) for k in (keys, expected))
    for one, other in zip(gradients(net, loss), gradients(net, full), strict=True):
        torch.testing.assert_close(one, other)
