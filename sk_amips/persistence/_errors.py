"""What is wrong with a file."""

__all__ = ["InvalidFileError"]


class InvalidFileError(ValueError):
    """Raised where saved files are truncated, mixed up, newer, or not ours.

    See Also
    --------
    sk_amips.load : Raises it.

    Examples
    --------
    >>> import tempfile
    >>> import sk_amips
    >>> from sk_amips.persistence import InvalidFileError
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     try:
    ...         sk_amips.load(folder)
    ...     except InvalidFileError as error:
    ...         print("params.json" in str(error))
    True
    """
