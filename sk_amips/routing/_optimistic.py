"""OptimisticRouter: lists by how well their best key may score."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
import torch
from scipy.linalg import eigh
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval

from .._lists import whole_lists
from .._validation import row_blocks
from ..nn import Ellipsoids
from ..partition import Partition
from ._base import BaseRouter

__all__ = ["OptimisticRouter", "list_ellipsoids"]


# Principal axes kept of each list: more find little more (see docs/routing.md).
RANK = 16


class OptimisticRouter(BaseRouter):
    r"""Rank lists by what their best key would score if they were normal samples.

    The best of :math:`n_j` draws from a normal distribution with the mean and the
    covariance of list ``j`` scores about

    .. math:: \langle x, \mu_j \rangle + \sqrt{2 \log n_j} \sqrt{x^\top \Sigma_j x}.

    This takes into account how far the keys of a list spread, and in which directions.
    It is the support function of an ellipsoid, convex and 1-homogeneous, and needs no
    query to be trained on.

    Parameters
    ----------
    keys : array-like of shape (n_keys, n_features) or None, default=None
        Keys of any norm but zero, by reference. None takes the queries of :meth:`fit`.
    n_partitions : int, "sqrt" or "auto", default="sqrt"
        Number of lists into which the keys are split by spherical k-means; "sqrt" takes
        the square root of the number of keys, "auto" twice that.
    partition : Partition or array-like of shape (n_keys,), default=None
        Lists to use in place of k-means, whatever ``n_partitions`` is: another
        estimator's ``partition_``, or the list of each key.
    rank : int or None, default=16
        Number of principal axes kept of each covariance; the others are taken to be of
        equal variance. A query costs ``(rank + 1) * n_partitions * n_features``
        multiplications. None keeps all.
    optimism : float, default=1.0
        Factor of the second term; 0 is the :class:`CentroidRouter`.
    device : {"auto", "cpu", "cuda"} or torch device, default="auto"
        Where exact searches run.
    n_jobs : int or None, default=None
        Jobs of the exact search.
    random_state : int, RandomState instance or None, default=None
        Seed of the partition.

    Attributes
    ----------
    ellipsoids_ : Ellipsoids
        The second term, as a torch module.
    keys_ : ndarray or memmap of shape (n_keys, n_features)
        The keys, by reference.
    key_norms_ : KeyNorms
        Largest and root-mean-square norm of the keys.
    partition_ : Partition
        The lists of keys.
    random_state_ : RandomState instance
        Source of further randomness.
    n_features_in_ : int
        Number of features of queries and keys.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where the queries had names.

    See Also
    --------
    CentroidRouter : The first term alone.
    SupportNetRegressor : Learns on top of it, with ``base_score="optimistic"``.

    Examples
    --------
    The best key is in its first list more often than in that of the centroids:

    >>> import numpy as np
    >>> from sk_amips import CentroidRouter, OptimisticRouter
    >>> rng = np.random.default_rng(0)
    >>> keys, queries = rng.normal(size=(500, 16)), rng.normal(size=(500, 16))
    >>> centroids = CentroidRouter(keys, random_state=0).fit(queries)
    >>> router = OptimisticRouter(keys, partition=centroids.partition_).fit(queries)
    >>> router.score(queries) > centroids.score(queries) + 0.05
    True
    """

    _parameter_constraints: dict = {
        **BaseRouter._parameter_constraints,
        "rank": [Interval(Integral, 1, None, closed="left"), None],
        "optimism": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        keys=None,
        *,
        n_partitions="sqrt",
        partition=None,
        rank=RANK,
        optimism=1.0,
        device="auto",
        n_jobs=None,
        random_state=None,
    ):
        self.keys = keys
        self.n_partitions = n_partitions
        self.partition = partition
        self.rank = rank
        self.optimism = optimism
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Split the keys into lists and measure them; no query is learned from.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries, or the keys where ``keys=None``.
        y : Ignored
            Present for scikit-learn's convention.

        Returns
        -------
        self : object
            The fitted router.
        """
        with self._fitting() as twin:
            twin._take_keys(twin._checked(X, reset=True))
            twin.ellipsoids_ = list_ellipsoids(
                twin.keys_,
                twin.partition_,
                rank=twin.rank,
                optimism=twin.optimism,
                scale=twin.key_norms_.rms or 1.0,
            )
        return self

    def _list_scores(self, X: np.ndarray) -> np.ndarray:
        norms, unit = self._directions(X)
        spread = self.ellipsoids_.scores(torch.from_numpy(unit.astype(np.float64)))
        return norms * (unit @ self.partition_.centroids_.T + spread.numpy())

    def __getstate__(self) -> dict:
        # Arrays, not tensors: these pickle as torch's own storages.
        state = super().__getstate__()
        if (fitted := state.get("ellipsoids_")) is not None:
            arrays = (fitted.factors, fitted.radii, fitted.scale)
            state["ellipsoids_"] = tuple(x.cpu().numpy() for x in arrays)
        return state

    def __setstate__(self, state: dict) -> None:
        if (arrays := state.get("ellipsoids_")) is not None:
            factors, radii, scale = arrays
            axes = torch.from_numpy(factors), torch.from_numpy(radii)
            state = state | {"ellipsoids_": Ellipsoids(*axes, scale=float(scale))}
        super().__setstate__(state)

    def _floats_per_query(self) -> int:
        return self.ellipsoids_.factors[..., 0].numel()


def list_ellipsoids(
    keys: np.ndarray,
    partition: Partition,
    *,
    rank: int | None = RANK,
    optimism: float = 1.0,
    scale: float = 1.0,
) -> Ellipsoids:
    r"""Spread of the keys of each list, :math:`\sqrt{2 \log n_j \, x^\top \Sigma_j x}`.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, n_features)
    partition : Partition
    rank : int or None, default=16
        Number of principal axes kept; the rest of the variance is spread evenly over
        the other directions. None: all.
    optimism : float, default=1.0
        Factor.
    scale : float, default=1.0
        Unit of the numbers kept, such as the typical norm of a key.

    Returns
    -------
    ellipsoids : Ellipsoids
        In float64.
    """
    n_features = keys.shape[1]
    rank = n_features if rank is None else min(rank, n_features)
    factors = np.zeros((partition.n_partitions, rank, n_features))
    radii = np.zeros(partition.n_partitions)
    for j, members in enumerate(whole_lists(keys, partition)):
        size = len(members)
        if size == 1:
            continue
        covariance = _covariance(members, partition.centroids_[j], scale)
        total = covariance.trace()
        some = [n_features - rank, n_features - 1]
        variances, directions = eigh(covariance, subset_by_index=some)
        rest = max(0.0, total - variances.sum()) / max(1, n_features - rank)
        stretch = optimism * (2 * np.log(size)) ** 0.5
        lengths = stretch * np.sqrt(np.maximum(variances - rest, 0.0))
        factors[j] = lengths[:, None] * directions.T
        radii[j] = stretch * rest**0.5
    axes = torch.from_numpy(factors), torch.from_numpy(radii)
    return Ellipsoids(*axes, scale=scale)


def _covariance(keys: np.ndarray, centroid: np.ndarray, scale: float) -> np.ndarray:
    """Covariance of the keys of a list, in blocks."""
    centre = centroid / scale
    total = np.zeros((keys.shape[1], keys.shape[1]))
    shift = np.zeros(keys.shape[1])
    for rows in row_blocks(len(keys)):
        block = np.asarray(keys[rows], dtype=np.float64) / scale - centre
        total += block.T @ block
        shift += block.sum(axis=0)
    # The centroid is the mean only to its own precision.
    shift /= len(keys)
    return total / len(keys) - np.outer(shift, shift)
