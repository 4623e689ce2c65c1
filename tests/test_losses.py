import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sk_amips.losses import (
    AmipsLoss,
    gradient_matching,
    routing_cross_entropy,
    score_consistency,
    score_regression,
    top_weights,
)
from sk_amips.nn import SupportNet

N, C, D = 6, 3, 4


@pytest.fixture(scope="module")
def batch():
    """Scores, keys, queries, their targets and weights of one batch."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return {
        "scores": normal(N, C),
        "score_targets": normal(N, C),
        "keys": normal(N, C, D),
        "key_targets": normal(N, C, D),
        "queries": normal(N, D),
        "weight": normal(N).abs(),
    }


@pytest.fixture(scope="module")
def truth():
    """Queries with their exact support values and best keys in each partition."""
    generator = torch.Generator().manual_seed(1)
    keys = torch.randn(30, D, generator=generator, dtype=torch.float64)
    queries = torch.randn(N, D, generator=generator, dtype=torch.float64)
    scores = (queries @ keys.T).unflatten(1, (C, 10))
    best = keys.unflatten(0, (C, 10))[torch.arange(C), scores.argmax(dim=2)]
    return queries, scores.amax(dim=2), best


def each(got, expected):
    """Squared errors (n, c) of scores or of keys, in plain numpy."""
    squares = (got.numpy() - expected.numpy()) ** 2
    return squares if squares.ndim == 2 else squares.sum(axis=2) / D


@pytest.mark.parametrize("weighted", [False, True])
def test_score_regression(batch, weighted):
    weight = batch["weight"] if weighted else None
    errors = each(batch["scores"], batch["score_targets"])
    rows = batch["weight"].numpy() if weighted else np.ones(N)
    expected = sum(rows[i] * errors[i].sum() / C for i in range(N)) / N
    loss = score_regression(batch["scores"], batch["score_targets"], weight)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_matching(batch, weighted):
    weight = batch["weight"] if weighted else None
    errors = each(batch["keys"], batch["key_targets"])
    rows = batch["weight"].numpy() if weighted else np.ones(N)
    expected = sum(rows[i] * errors[i].sum() / C for i in range(N)) / N
    loss = gradient_matching(batch["keys"], batch["key_targets"], weight)
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_score_consistency(batch, weighted):
    weight = batch["weight"] if weighted else None
    scores = np.einsum("ncd,nd->nc", batch["keys"].numpy(), batch["queries"].numpy())
    errors = (scores - batch["score_targets"].numpy()) ** 2
    rows = batch["weight"].numpy() if weighted else np.ones(N)
    loss = score_consistency(
        batch["keys"], batch["queries"], batch["score_targets"], weight
    )
    assert loss.item() == pytest.approx((rows @ errors.mean(axis=1)) / N)


def test_weights_of_one_change_nothing(batch):
    arguments = batch["scores"], batch["score_targets"]
    torch.testing.assert_close(
        score_regression(*arguments, torch.ones(N, dtype=torch.float64)),
        score_regression(*arguments),
    )


def test_a_weight_counts_as_copies(batch):
    """Up to the number of rows, over which the mean is taken."""
    weight = torch.tensor([1, 2, 0, 1, 3, 1])
    keys, targets = batch["keys"], batch["key_targets"]
    copies = [tensor.repeat_interleave(weight, dim=0) for tensor in (keys, targets)]
    weighted = gradient_matching(keys, targets, weight.double())
    torch.testing.assert_close(weighted * N, gradient_matching(*copies) * weight.sum())


def test_partitions_are_averaged(batch):
    columns = [
        score_regression(batch["scores"][:, [j]], batch["score_targets"][:, [j]])
        for j in range(C)
    ]
    torch.testing.assert_close(
        score_regression(batch["scores"], batch["score_targets"]), sum(columns) / C
    )


def test_all_vanish_at_the_truth(truth):
    """The exact support function and its gradient, the best key."""
    queries, scores, keys = truth
    assert score_regression(scores, scores) == 0
    assert gradient_matching(keys, keys) == 0
    assert score_consistency(keys, queries, scores) < 1e-24
    by_euler = torch.einsum("ncd,nd->nc", keys, queries)
    assert AmipsLoss()(by_euler, scores, keys, keys) < 1e-24


def test_all_see_a_wrong_key(truth):
    queries, scores, keys = truth
    wrong = keys.roll(1, dims=0)
    assert gradient_matching(wrong, keys) > 0.1
    assert score_consistency(wrong, queries, scores) > 0.1


@pytest.mark.parametrize("weighted", [False, True])
def test_amips_loss_is_the_weighted_sum(batch, weighted):
    weight = batch["weight"] if weighted else None
    scores = batch["scores"], batch["score_targets"]
    keys = batch["keys"], batch["key_targets"]
    loss = AmipsLoss(score_weight=0.3, key_weight=2.0, scale=5.0)(
        *scores, *keys, weight
    )
    expected = (
        0.3 * score_regression(*scores, weight) + 2.0 * gradient_matching(*keys, weight)
    ) / 25
    torch.testing.assert_close(loss, expected)


def test_amips_loss_defaults(batch):
    scores = batch["scores"], batch["score_targets"]
    keys = batch["keys"], batch["key_targets"]
    expected = score_regression(*scores) + gradient_matching(*keys)
    torch.testing.assert_close(AmipsLoss()(*scores, *keys), expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_amips_loss_of_a_key_net_is_score_consistency(batch, weighted):
    """Scores that are given are those of a router, not of the keys."""
    weights = top_weights(batch["score_targets"], 1.0) if weighted else None
    loss = AmipsLoss(consistency=True, scale=2.0)(
        None,
        batch["score_targets"],
        batch["keys"],
        queries=batch["queries"],
        score_partition_weight=weights,
    )
    expected = score_consistency(
        batch["keys"], batch["queries"], batch["score_targets"], None, weights
    )
    torch.testing.assert_close(loss, expected / 4)


@pytest.mark.parametrize("missing", ["keys", "key_targets"])
def test_key_loss_is_left_out_without_keys_or_targets(batch, missing):
    arguments = batch | {missing: None}
    loss = AmipsLoss(score_weight=0.5)(
        *(
            arguments[name]
            for name in ("scores", "score_targets", "keys", "key_targets", "weight")
        )
    )
    expected = score_regression(
        batch["scores"], batch["score_targets"], batch["weight"]
    )
    torch.testing.assert_close(loss, 0.5 * expected)


@given(unit=st.floats(1e-4, 1e4))
def test_amips_loss_does_not_depend_on_the_unit(batch, unit):
    names = ["scores", "score_targets", "keys", "key_targets"]
    loss = AmipsLoss(0.3, 2.0, scale=1.7)(*(batch[name] for name in names))
    other = AmipsLoss(0.3, 2.0, scale=1.7 * unit)(*(unit * batch[n] for n in names))
    torch.testing.assert_close(other, loss)


def test_some_partitions_only(batch):
    """Keys of p < c partitions, with scores of all."""
    loss = AmipsLoss()(
        batch["scores"],
        batch["score_targets"],
        batch["keys"][:, :1],
        batch["key_targets"][:, :1],
    )
    expected = (
        each(batch["scores"], batch["score_targets"]).mean()
        + each(batch["keys"], batch["key_targets"])[:, 0].mean()
    )
    assert loss.item() == pytest.approx(expected)


def test_a_step_down_the_loss_lowers_it(truth):
    queries, scores, keys = truth
    net = SupportNet(D, [8, 8], C, generator=torch.Generator().manual_seed(0)).double()

    def loss():
        values, gradients = net.scores_and_keys(queries)
        return AmipsLoss()(values, scores, gradients, keys)

    before = loss()
    before.backward()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.grad is not None:
                parameter -= 1e-4 * parameter.grad
    assert loss() < before


def test_partition_weights(rng):
    scores, targets, shares = rng.normal(size=(3, 6, 4))
    weight = rng.uniform(size=6)
    expected = (weight * (shares * (scores - targets) ** 2).mean(axis=1)).mean()
    tensors = [torch.from_numpy(a) for a in (scores, targets, weight, shares)]
    assert score_regression(*tensors).item() == pytest.approx(expected)
    # Errors that are the same in all coordinates of a key are those of a score.
    keys = [tensor.unsqueeze(2).expand(-1, -1, 3) for tensor in tensors[:2]]
    loss = gradient_matching(*keys, *tensors[2:])
    assert loss.item() == pytest.approx(expected)


def test_top_weights(rng):
    targets = rng.normal(size=(6, 4))
    weights = top_weights(torch.from_numpy(targets), 0.3)
    expected = np.exp((targets - targets.max(axis=1, keepdims=True)) / 0.3) + 0.05
    np.testing.assert_allclose(weights, expected)


def test_top_weights_of_several_wanted_keys(rng):
    """Whatever reaches the threshold counts in full."""
    targets = np.sort(rng.normal(size=(6, 4)))
    weights = top_weights(
        torch.from_numpy(targets), 0.3, torch.from_numpy(targets[:, 2:3]), floor=0.1
    ).numpy()
    np.testing.assert_allclose(weights[:, 2:], 1.1)
    gap = targets[:, :2] - targets[:, 2:3]
    np.testing.assert_allclose(weights[:, :2], np.exp(gap / 0.3) + 0.1)


def test_routing_cross_entropy(rng):
    scores, targets = rng.normal(size=(2, 6, 4))
    weight = rng.uniform(size=6)
    winner = targets.argmax(axis=1)
    log_share = scores / 0.5 - np.log(np.exp(scores / 0.5).sum(axis=1, keepdims=True))
    errors = -log_share[np.arange(6), winner]
    tensors = [torch.from_numpy(a) for a in (scores, winner)]
    loss = routing_cross_entropy(*tensors, 0.5)
    assert loss.item() == pytest.approx(errors.mean())
    loss = routing_cross_entropy(*tensors, 0.5, torch.from_numpy(weight))
    assert loss.item() == pytest.approx((weight * errors).mean())


def test_terms_of_a_router(rng):
    scores, targets = (torch.from_numpy(a) for a in rng.normal(size=(2, 6, 4)))
    winner, weights = targets.argmax(dim=1), top_weights(targets, 0.1)
    loss = AmipsLoss(2.0, routing_weight=3.0, scale=0.5)
    arguments = {"winner": winner, "score_partition_weight": weights}
    terms = loss.terms(scores, targets, **arguments)
    assert list(terms) == ["score", "routing"]
    score = score_regression(2 * scores, 2 * targets, None, weights)
    assert terms["score"].item() == pytest.approx(2 * score.item())
    routing = routing_cross_entropy(2 * scores, winner)
    assert terms["routing"].item() == pytest.approx(3 * routing.item())
    assert loss(scores, targets, **arguments).item() == sum(terms.values()).item()
