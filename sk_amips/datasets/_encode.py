"""Texts as vectors."""

from __future__ import annotations

import os

import numpy as np
from sklearn.utils import check_array

__all__ = ["as_encoder", "encode_texts"]

# Encoders that tell both sides apart have a method for each.
_METHODS = {"key": "encode_document", "query": "encode_query", None: "encode"}


def encode_texts(
    texts,
    encoder,
    *,
    role: str | None = None,
    batch_size: int = 64,
    device: str | None = None,
) -> np.ndarray:
    """Turn texts into vectors, with a model of sentence-transformers or your own.

    Parameters
    ----------
    texts : sequence of str
        Texts, at least one.
    encoder : str, path-like or object
        Folder or name of a model, for ``sentence_transformers.SentenceTransformer``
        (``pip install "sk-amips[text]"``), which downloads what is not a folder. Or an
        object with ``encode(texts, batch_size=...)`` that returns one row a text.
    role : {"key", "query"} or None, default=None
        What the texts are. An encoder that has ``encode_document`` and
        ``encode_query``, as those of sentence-transformers, may treat them differently.
        None calls ``encode``.
    batch_size : int, default=64
        Number of texts encoded at a time.
    device : str or None, default=None
        Where a model that is given by name runs; None leaves it to
        sentence-transformers.

    Returns
    -------
    X : ndarray of shape (n_texts, d), dtype float32
        Vectors as the encoder gives them, of whatever norm.

    Raises
    ------
    ImportError
        If the encoder is given by name and sentence-transformers is not installed.
    TypeError
        If the encoder is neither a name nor has ``encode``, or ``texts`` is a str.
    ValueError
        If the encoder returns anything but one finite row a text.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips.datasets import encode_texts
    >>> class CountVowels:
    ...     def encode(self, texts, batch_size):
    ...         return np.array([[text.count(v) for v in "aeiou"] for text in texts])
    >>> encode_texts(["inner product", "support"], CountVowels())
    array([[0., 1., 1., 1., 1.],
           [0., 0., 0., 1., 1.]], dtype=float32)
    """
    if role not in _METHODS:
        raise ValueError(f"role must be 'key', 'query' or None, got {role!r}.")
    if isinstance(texts, str):
        raise TypeError("texts must be a sequence of str, got one str.")
    texts = list(texts)
    encoder = as_encoder(encoder, device)
    encode = getattr(encoder, _METHODS[role], encoder.encode)
    X = encode(texts, batch_size=batch_size)
    X = check_array(X, dtype=np.float32, input_name="the encoder's output")
    if len(X) != len(texts):
        raise ValueError(
            f"The encoder must return one row a text, got {len(X)} for {len(texts)}."
        )
    return X


def as_encoder(encoder, device: str | None = None):
    """The object itself if it encodes, or else the model of that name."""
    if not isinstance(encoder, str | os.PathLike):
        if not hasattr(encoder, "encode"):
            raise TypeError(
                "encoder must be a name, a folder or an object with encode, got "
                f"{type(encoder).__name__}."
            )
        return encoder
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ImportError(
            "An encoder given by name needs sentence-transformers: pip install "
            'sentence-transformers, or "sk-amips[text]".'
        ) from error
    return SentenceTransformer(os.fspath(encoder), device=device)
