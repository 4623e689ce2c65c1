r"""
Retrieval as a layer of a torch model
=====================================

The best key of a query jumps from one to another, and an exact search has no gradient.
The gradient of a SupportNet is a predicted key that moves smoothly, by ordinary algebra
that autograd goes through. So a fitted network can be a frozen layer of another model.
Here queries reach us through an unknown rotation, of which we see no more than the
score of the best key. Gradients through the SupportNet find the rotation.
"""

# %%
# A SupportNet that has learned which keys are best, from queries as they should be.
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.linalg import expm
from torch import nn

from sk_amips import SupportNetRegressor, exact_search
from sk_amips.datasets import make_mips_problem

keys, queries, _ = make_mips_problem(
    n_keys=200, n_queries=8000, n_features=4, effective_rank=None, random_state=0
)
support_net = SupportNetRegressor(
    keys, hidden_layer_sizes=(128, 128), max_epochs=40, random_state=0
).fit(queries[:6000])
layer = support_net.net_.module_.requires_grad_(False)

# %%
# A module of torch takes queries to scores and keys. Its key is the gradient of its
# score, which autograd confirms.
x = torch.tensor(queries[6000:6010], requires_grad=True)
scores, predicted = (part.squeeze(1) for part in layer.scores_and_keys(x))
(gradient,) = torch.autograd.grad(scores.sum(), x, retain_graph=True)
print(f"largest difference to autograd: {(gradient - predicted).abs().max():.1e}")

# %%
# The model turns what it gets by a matrix of its own, starting from none. What it is
# told of each query is the score that the best key has; what it learns from is the
# difference to the score of the SupportNet, through the layer.
plane = np.triu(np.random.default_rng(1).normal(size=(4, 4)), 1)
rotation = expm(0.6 * (plane - plane.T)).astype(np.float32)
seen = torch.from_numpy(queries @ rotation)
true_scores, best = exact_search(keys, queries)
target = torch.from_numpy(true_scores[:, 0].astype(np.float32))
torch.manual_seed(0)
turn = nn.Linear(4, 4, bias=False)
nn.init.eye_(turn.weight)
optimizer = torch.optim.Adam(turn.parameters(), lr=0.02)
losses, matches = [], []
for _ in range(600):
    rows = torch.randint(6000, (512,))
    error = layer(turn(seen[rows])).squeeze(1) - target[rows]
    loss = error.square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    with torch.no_grad():
        _, found = exact_search(keys, turn(seen[6000:]).numpy())
    matches.append(np.mean(found == best[6000:]))
learned = turn.weight.detach().numpy()
off = np.linalg.norm(learned - rotation) / np.linalg.norm(rotation)
print(
    f"match rate of new queries: {matches[0]:.3f} at first, {matches[-1]:.3f} at last"
)
print(f"distance of the matrix from the true one, relative: {off:.3f}")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
axes[0].plot(losses)
axes[0].set(yscale="log", xlabel="step", title="squared error of scores")
axes[1].plot(matches)
axes[1].set(xlabel="step", ylim=(0, 1), title="match rate of new queries, turned back")
plt.show()
