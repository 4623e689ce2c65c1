"""Training loops to compare with: plain torch, and skorch as it comes."""

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import GradientNormClipping

from sk_amips.losses import top_weights


def bare_torch(net, data, n_epochs, batch_size):
    """What a user would write by hand for the same steps; ms a step."""
    module, loss, device = net.module_, net.criterion_, net.device
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)
    live = [p.detach() for p in module.parameters()]
    average = [p.clone() for p in live]
    arrays = [data.queries, data.scores, data.keys, data.best]
    queries, scores, keys, best = (
        None if a is None else torch.as_tensor(a, device=device) for a in arrays
    )
    total = torch.zeros((), device=device)
    for _ in range(n_epochs):
        order = torch.randperm(len(queries), device=device)
        for rows in order.split(batch_size):
            x, y = queries[rows], scores[rows]
            weight = top_weights(y, 0.05) if y.shape[1] > 1 else None
            optimizer.zero_grad(set_to_none=True)
            if keys is None:
                terms = loss.terms(module.scores(x), y, score_partition_weight=weight)
            else:
                predicted, gradients = module.scores_and_keys(x)
                matched = keys[best[rows]].sum(dim=2)
                terms = loss.terms(predicted, y, gradients, matched, queries=x)
            value = sum(terms.values())
            value.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            torch._foreach_lerp_(average, live, 0.01)
            total += value.detach()
    return float(total)


def stock_skorch(net, data, n_epochs, batch_size):
    """The squared error of scores alone, through skorch's own loop and DataLoader."""
    stock = NeuralNet(
        net.module_,
        torch.nn.MSELoss,
        optimizer=torch.optim.AdamW,
        lr=1e-3,
        batch_size=batch_size,
        max_epochs=n_epochs,
        train_split=None,
        iterator_train__shuffle=True,
        callbacks=[GradientNormClipping(1.0)],
        callbacks__print_log=None,
        device=net.device,
        verbose=0,
    )
    stock.fit(np.asarray(data.queries), np.asarray(data.scores))
