r"""
Support functions, and what networks learn of them
==================================================

The score of the best key, :math:`\sigma(x) = \max_k \langle x, k \rangle`, is a convex
function of the query, and its gradient is the best key. In the plane all of that can be
drawn: twelve keys, their support function over all directions, and the keys that a
SupportNet and a KeyNet predict for queries that they have not seen.
"""

# %%
# Keys, and queries from all around them. Only the outermost keys ever win.
import matplotlib.pyplot as plt
import numpy as np

from sk_amips import KeyNetRegressor, SupportNetRegressor, exact_search

rng = np.random.default_rng(7)
keys = rng.normal(size=(12, 2)) * [1.3, 0.8]
angles = rng.uniform(0, 2 * np.pi, size=3000)
queries = np.column_stack([np.cos(angles), np.sin(angles)])

# %%
# Both networks are fitted to the exact answers of these queries. ``convexity="strict"``
# makes the SupportNet a support function itself, of other points than the keys: it is
# convex and 1-homogeneous, whatever its weights are.
options = {"hidden_layer_sizes": (64, 64), "lr": 1e-2}
options |= {"max_epochs": 100, "random_state": 0}
support_net = SupportNetRegressor(
    keys, convexity="strict", rectifier="abs", **options
).fit(queries)
key_net = KeyNetRegressor(keys, **options).fit(queries)

turn = np.linspace(0, 2 * np.pi, 721)
x = np.column_stack([np.cos(turn), np.sin(turn)])
scores, best = exact_search(keys, x)
print(
    "root mean square error of predicted scores and keys, of norms up to "
    f"{np.linalg.norm(keys, axis=1).max():.1f}:"
)
for name, net in {"SupportNet": support_net, "KeyNet": key_net}.items():
    predicted = net.transform(x)
    score_error = (predicted * x).sum(axis=1) - scores[:, 0]
    key_error = np.linalg.norm(predicted - keys[best[:, 0]], axis=1)
    print(
        f"  {name:<12}{np.sqrt(np.mean(score_error**2)):.3f}"
        f"{np.sqrt(np.mean(key_error**2)):8.3f}"
    )

# %%
# On the left the support function by direction: the distance of the curve from the
# origin is the score of the best key. It consists of arcs, one for each key that wins.
# In the middle and on the right the keys that are predicted for each direction, in the
# color of the best one. The true map jumps from key to key. Networks are continuous, so
# that predictions cross over, and for few queries lie between two keys.
winners = np.unique(best)
color = dict(zip(winners, plt.get_cmap("tab10").colors, strict=False))
colors = [color[k] for k in best[:, 0]]
figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
curve = scores * x
for k in winners:
    some = best[:, 0] == k
    axes[0].scatter(*curve[some].T, s=3, color=color[k])
fitted = support_net.predict(x)[:, None] * x
axes[0].plot(*fitted.T, "k--", lw=1, label="SupportNet")
axes[0].legend(loc="lower right")
axes[0].set_title("score of the best key, by direction")
titles = {
    "gradient of the SupportNet": support_net,
    "prediction of the KeyNet": key_net,
}
for ax, (title, net) in zip(axes[1:], titles.items(), strict=True):
    ax.scatter(*net.transform(x).T, s=6, color=colors, alpha=0.6)
    ax.set_title(title)
for ax in axes:
    ax.scatter(*keys.T, s=30, color="0.75", zorder=0, label="keys")
    for k in winners:
        ax.scatter(*keys[k], s=70, color=color[k], edgecolor="k", zorder=3)
    ax.axhline(0, color="0.9", zorder=-1)
    ax.axvline(0, color="0.9", zorder=-1)
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.08)
plt.show()
