"""Saving and pickling, as all estimators of the library have it."""

from __future__ import annotations

from typing import ClassVar

from sklearn.utils.validation import check_is_fitted

__all__ = ["Saveable"]


class Saveable:
    """An estimator whose fitted state is plain data, and can be made from it again.

    Subclasses override :meth:`_to_state` and :meth:`_restore` where an attribute is no
    plain data, and can be made anew from the others.
    """

    # Private attributes that are part of the state.
    _private_state: ClassVar[tuple[str, ...]] = ()
    # Parameters that belong to the process, and are None in what was saved or pickled.
    _not_saved: ClassVar[tuple[str, ...]] = ()

    def save(self, path, *, keys=None, optimizer=False) -> None:
        """Save to a folder of files that hold no code.

        Parameters
        ----------
        path : str or Path
            Folder to make. One that was saved before is replaced, all at once: whatever
            happens meanwhile, there is the old one or the new one.
        keys : bool or None, default=None
            Whether to save the keys as well. Else they are given to
            :func:`sk_amips.load`, which sees whether they are the same. None: only
            where the folder that is replaced holds them already.
        optimizer : bool, default=False
            Whether to save the state of a network's optimizer too, so that training
            goes on as if it had not stopped.

        Raises
        ------
        FileExistsError
            If something else is at the path, or in the folder.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If a parameter cannot be saved, such as a callback.
        """
        from .persistence._folder import save

        save(self, path, keys=keys, optimizer=optimizer)

    def card(self, X=None, *, groups=None) -> str:
        """Describe the fitted estimator for those who shall use it, in Markdown.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), default=None
            Queries that nothing was learned from, nor calibrated on: recall on them is
            measured, with an interval. None: what is known from :meth:`fit` alone.
        groups : array-like of shape (n_queries,), default=None
            Source of each query; the interval is a bootstrap over groups.

        Returns
        -------
        card : str
            Sizes of the data, parameters, training, work of a query, calibration,
            metrics and versions.
        """
        check_is_fitted(self)
        from ._card import card

        return card(self, X, groups)

    def _to_state(self) -> dict:
        """Attributes as plain data."""
        return vars(self) | dict.fromkeys(self._not_saved)

    def _restore(self, state: dict) -> None:
        """Set attributes from :meth:`_to_state`."""
        vars(self).update(state)

    def __getstate__(self) -> dict:
        from ._memmaps import as_reference

        return {name: as_reference(v) for name, v in self._to_state().items()}

    def __setstate__(self, state: dict) -> None:
        from ._memmaps import MappedArray

        opened = {}
        for name, value in state.items():
            if isinstance(value, MappedArray):
                # Parameter and attribute stay one object.
                value = opened.setdefault(tuple(vars(value).values()), value.open())
            opened[name] = value
        self._restore({name: opened[name] for name in state})

    def __copy__(self):
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        return twin
