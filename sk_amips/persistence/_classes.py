"""Classes that files may name."""

from __future__ import annotations

from .._saveable import Saveable
from ._errors import InvalidFileError

__all__ = ["class_name", "saved_class"]


def _classes() -> dict[str, type]:
    import sk_amips

    exported = (getattr(sk_amips, name) for name in sk_amips.__all__)
    return {
        each.__name__: each
        for each in exported
        if isinstance(each, type) and issubclass(each, Saveable)
    }


def class_name(estimator) -> str:
    """Name of the class of an estimator.

    Raises
    ------
    TypeError
        If it is none of this library, which :func:`sk_amips.load` could not make.
    """
    name = type(estimator).__name__
    if _classes().get(name) is not type(estimator):
        raise TypeError(
            f"{name} cannot be saved: only the estimators of sk_amips themselves can."
        )
    return name


def saved_class(name: str) -> type:
    """Class of that name, of this library and no other."""
    classes = _classes()
    if name not in classes:
        raise InvalidFileError(f"{name!r} is no estimator of sk_amips.")
    return classes[name]
