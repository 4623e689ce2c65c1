import numpy as np
import pytest
import torch

from sk_amips.training import RateSchedule, WeightAverage, warmup_cosine


@pytest.mark.parametrize("n_steps", [1, 2, 7, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5, 1.0])
def test_warmup_cosine(n_steps, warmup):
    shares = np.array([warmup_cosine(s, n_steps, warmup) for s in range(n_steps)])
    assert (shares > 0).all()
    assert shares.max() == 1.0
    top = int(np.flatnonzero(shares == 1.0)[0])
    assert top == max(0, int(np.ceil(warmup * n_steps)) - 1)
    np.testing.assert_allclose(shares[: top + 1], np.arange(1, top + 2) / (top + 1))
    assert (np.diff(shares[top + 1 :]) < 0).all()


def test_rates_of_all_groups_follow_and_come_back():
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": r} for r in (1, 3)]
    optimizer = torch.optim.SGD(groups)
    schedule = RateSchedule(optimizer, n_steps=8, warmup=0.25)
    for step in range(8):
        schedule.advance()
        share = warmup_cosine(step, 8, 0.25)
        rates = [group["lr"] for group in optimizer.param_groups]
        np.testing.assert_allclose(rates, [share, 3 * share])
    schedule.restore()
    assert [group["lr"] for group in optimizer.param_groups] == [1, 3]


def test_weight_average():
    module = torch.nn.Linear(2, 1, bias=False)
    module.weight.data.fill_(1.0)
    average = WeightAverage(module, decay=0.5)
    expected = 1.0
    for step in range(20):
        module.weight.data.fill_(float(step))
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    average.show()
    np.testing.assert_allclose(
        module.weight.detach(), [[expected, expected]], rtol=1e-6
    )
    average.hide()
    np.testing.assert_array_equal(module.weight.detach(), [[19.0, 19.0]])


def test_training_goes_on_from_the_trained_weights():
    module = torch.nn.Linear(2, 1, bias=False)
    average = WeightAverage(module, decay=0.9)
    average.hide()  # nothing is shown yet
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    before = module.weight.detach().clone()
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    average.update()
    average.show()
    average.hide()
    torch.testing.assert_close(module.weight.detach(), before - 0.1)
