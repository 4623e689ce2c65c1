"""CentroidRouter: lists in the order of their centroids."""

from __future__ import annotations

import numpy as np
from sklearn.base import _fit_context

from ._base import BaseRouter


class CentroidRouter(BaseRouter):
    r"""Rank lists by the inner product of the query with their centroids.

    The order in which an inverted file (IVF) visits its lists: the baseline of every
    learned router. The score :math:`\langle x, \mu_j \rangle` of list ``j`` is the mean
    over its keys, a lower bound of its support value.

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
    device : {"auto", "cpu", "cuda"} or torch device, default="auto"
        Where exact searches run.
    n_jobs : int or None, default=None
        Jobs of the exact search.
    random_state : int, RandomState instance or None, default=None
        Seed of the partition.

    Attributes
    ----------
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
    OptimisticRouter : Adds how far the keys of a list spread.

    Examples
    --------
    Scores are lower bounds of the best inner product in each list:

    >>> import numpy as np
    >>> from sk_amips import CentroidRouter
    >>> from sk_amips.exact import partition_search
    >>> rng = np.random.default_rng(0)
    >>> keys, queries = rng.normal(size=(500, 16)), rng.normal(size=(100, 16))
    >>> router = CentroidRouter(keys, random_state=0).fit(queries)
    >>> support, _ = partition_search(keys, queries, router.partition_)
    >>> bool((router.predict_partitions(queries) <= support + 1e-5).all())
    True
    """

    def __init__(
        self,
        keys=None,
        *,
        n_partitions="sqrt",
        partition=None,
        device="auto",
        n_jobs=None,
        random_state=None,
    ):
        self.keys = keys
        self.n_partitions = n_partitions
        self.partition = partition
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Split the keys into lists; nothing is learned from queries.

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
        return self

    def _list_scores(self, X: np.ndarray) -> np.ndarray:
        norms, unit = self._directions(X)
        return norms * (unit @ self.partition_.centroids_.T)
