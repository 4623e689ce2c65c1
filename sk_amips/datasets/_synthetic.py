"""Generated keys and queries whose difficulty can be set."""

from __future__ import annotations

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from scipy.stats import ortho_group
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from ..nn import unit_rows

__all__ = ["QueryLog", "make_mips_problem"]

_COUNT = [Interval(Integral, 1, None, closed="left")]
# Of a norm whose square is a number in float32.
_LARGEST_LOG = 43.0
_SPREAD = [Interval(Real, 0, None, closed="left")]


# (numpydoc sees no constructor.)
class QueryLog(NamedTuple):  # numpydoc ignore=PR02
    """Keys, and queries in groups.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, n_features)
        What is searched.
    queries : ndarray of shape (n_queries, n_features)
        What was asked.
    groups : ndarray of shape (n_queries,)
        Source of each query.

    Examples
    --------
    >>> from sk_amips.datasets import make_mips_problem
    >>> log = make_mips_problem(n_keys=100, n_queries=50, random_state=0)
    >>> keys, queries, groups = log
    >>> keys is log.keys
    True
    """

    keys: np.ndarray
    queries: np.ndarray
    groups: np.ndarray


@validate_params(
    {
        "n_keys": _COUNT,
        "n_queries": _COUNT,
        "n_features": [Interval(Integral, 2, None, closed="left")],
        "n_clusters": [*_COUNT, None],
        "cluster_spread": _SPREAD,
        "effective_rank": [Interval(Real, 0, None, closed="neither"), None],
        "queries_per_group": _COUNT,
        "query_noise": _SPREAD,
        "popularity": _SPREAD,
        "shift": [Interval(Real, 0, 1, closed="both")],
        "norm_spread": _SPREAD,
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_mips_problem(
    n_keys=2000,
    n_queries=4000,
    n_features=32,
    *,
    n_clusters=None,
    cluster_spread=1.5,
    effective_rank=8,
    queries_per_group=2,
    query_noise=0.6,
    popularity=0.5,
    shift=0.0,
    norm_spread=0.0,
    random_state=None,
):
    """Generate keys in clusters, and groups of queries that ask for one of them each.

    Each group is about one key, as the wordings of a question are: its queries are that
    key's direction with noise, half of which the group shares.

    Parameters
    ----------
    n_keys : int, default=2000
        Number of keys.
    n_queries : int, default=4000
        Number of queries.
    n_features : int, default=32
        Width of both.
    n_clusters : int or None, default=None
        Number of clusters of keys; None: the square root of their number.
    cluster_spread : float, default=1.5
        Norm of the noise that sets a key apart from the center of its cluster, which
        has norm 1.
    effective_rank : float or None, default=8
        About how many directions vectors differ in, as those of learned embeddings do;
        None: in all alike.
    queries_per_group : int, default=2
        Number of queries about the same key, of one source.
    query_noise : float, default=0.6
        Norm of the noise of a query. The larger it is, the more often another key is
        the best.
    popularity : float, default=0.5
        Exponent of Zipf's law by which groups choose their key; 0: all keys alike. The
        larger it is, the more of the best keys of new queries are known.
    shift : float, default=0.0
        From 0, queries lie where keys do, to 1, they have been rotated at random, and a
        search by their nearest clusters is hard.
    norm_spread : float, default=0.0
        Standard deviation of the logarithm of the keys' norms; 0: all are 1.
    random_state : int, RandomState instance or None, default=None
        Source of randomness.

    Returns
    -------
    log : QueryLog
        ``keys``, of dtype float32; ``queries``, likewise, of norm one and in random
        order; and ``groups``, from 0 on: not the keys that queries ask for.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or a norm would be out of that of float32.

    Examples
    --------
    >>> from sk_amips.datasets import make_mips_problem
    >>> keys, queries, groups = make_mips_problem(500, 300, random_state=0)
    >>> keys.shape, queries.shape, len(set(groups))
    ((500, 32), (300, 32), 150)
    """
    rng = check_random_state(random_state)
    if n_clusters is None:
        n_clusters = max(1, round(n_keys**0.5))
    scale = np.ones(n_features)
    if effective_rank is not None:
        scale = np.exp(-((np.arange(n_features) / effective_rank) ** 2) / 2)

    def directions(n):
        return _unit(scale * rng.normal(size=(n, n_features)))

    centers = directions(n_clusters)
    keys = centers[rng.randint(n_clusters, size=n_keys)]
    keys = _unit(keys + cluster_spread * directions(n_keys))
    n_groups = -(-n_queries // queries_per_group)
    law = np.arange(1, n_keys + 1) ** -float(popularity)
    source = rng.permutation(n_keys)[rng.choice(n_keys, n_groups, p=law / law.sum())]
    groups = rng.permutation(np.repeat(np.arange(n_groups), queries_per_group))
    groups = groups[:n_queries]
    shared = directions(n_groups)[groups]
    own = directions(n_queries)
    noise = 0.5**0.5 * (shared + own)
    queries = _unit(keys[source[groups]] + query_noise * noise)
    if shift > 0:
        rotation = ortho_group.rvs(n_features, random_state=rng)
        queries = _unit((1 - shift) * queries + shift * queries @ rotation)
    logs = norm_spread * rng.normal(size=(n_keys, 1))
    if np.abs(logs).max() > _LARGEST_LOG:
        raise ValueError(
            "norm_spread must leave norms within the range of float32, got "
            f"{norm_spread}."
        )
    keys = (np.exp(logs) * keys).astype(np.float32)
    return QueryLog(keys, queries.astype(np.float32), groups)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / unit_rows(rows)[0]
