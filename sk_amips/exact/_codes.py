r"""Short codes of keys and queries, whose products bound the true scores.

A code stands for a vector :math:`\hat k` near the key, and so for queries. Then

.. math:: |\langle k, q \rangle - \langle \hat k, \hat q \rangle|
          \le \|k - \hat k\| \|q\| + \|\hat k\| \|q - \hat q\|,

and both differences are computed, not estimated. Scores of short codes are cheap where
the processor has units for them, and keys whose bound does not reach that of the best
are out: only the few that are left need an exact score.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "TINY",
    "UNIT",
    "BFloat16Codes",
    "Codes",
    "Float32Codes",
    "Int8Codes",
    "KeyCodes",
    "whole",
]

UNIT = 2.0**-24
# Covers what underflows in the squares of a norm; keys and queries are of size one.
TINY = 1e-17


class KeyCodes(NamedTuple):
    """Codes of a block of keys, in groups that share a scale and bounds.

    Attributes
    ----------
    codes : Tensor of shape (n_groups * group, d)
    scale : Tensor of shape (n_groups,) or None
        Factor of the products with the codes of a group; None: one.
    size : Tensor of shape (n_groups,)
        Bound on the norms of the keys of a group, and of what their codes stand for.
    error : Tensor of shape (n_groups,)
        Bound on the norm of what the code of a key of the group leaves out.
    slack : Tensor of shape (n_groups,) or None
        Bound on an error that does not depend on the query.
    """

    codes: Tensor
    scale: Tensor | None
    size: Tensor
    error: Tensor
    slack: Tensor | None = None


class QueryCodes(NamedTuple):
    """Codes of queries.

    Attributes
    ----------
    codes : Tensor of shape (n, d)
    scale : float
        Factor of the products.
    size : Tensor of shape (n,)
        Bound on the norm of a query.
    error : Tensor of shape (n,)
        Bound on the norm of what the code of a query leaves out, and on the rounding of
        its products relative to the size of a key.
    """

    codes: Tensor
    scale: float
    size: Tensor
    error: Tensor

    def rows(self, rows: slice) -> QueryCodes:
        """Those of some of the queries."""
        return QueryCodes(
            self.codes[rows], self.scale, self.size[rows], self.error[rows]
        )


class Codes:
    """Base of the codes, each a class without state."""

    dtype: ClassVar[torch.dtype]
    product_dtype: ClassVar[torch.dtype]

    # Bound on the rounding of a product, relative to the norms, for d coordinates.
    @classmethod
    def product_error(cls, d: int, *, on_cpu: bool) -> float:
        raise NotImplementedError

    # Product of matrices of codes, of type ``product_dtype``.
    mm = staticmethod(torch.mm)

    @classmethod
    def product(
        cls, keys: Tensor, queries: Tensor, out: Tensor | None = None
    ) -> Tensor:
        """Products of codes, (n_keys, n_queries)."""
        return cls.mm(keys, queries.T, out=out)

    @classmethod
    def _norms(cls, rows: Tensor) -> Tensor:
        """Bound on the norms of rows of size at most one, as float32 rounds them."""
        return torch.linalg.vector_norm(rows, dim=1) * (1 + rows.shape[1] * UNIT)

    @classmethod
    def encode_queries(cls, queries: Tensor) -> QueryCodes:
        """Codes of queries whose largest coordinate is one."""
        codes, scale, rounding = cls._round_queries(queries)
        size = cls._norms(queries) + rounding + TINY
        relative = cls.product_error(queries.shape[1], on_cpu=not queries.is_cuda)
        error = rounding + (relative + 8 * UNIT) * size
        return QueryCodes(codes, scale, size, error + TINY)

    @classmethod
    def encode_keys(cls, keys: Tensor, group: int) -> KeyCodes:
        """Codes of keys of norm around one or less, in whole groups of that size."""
        codes, scale, rounding = cls._round_keys(keys, group)
        rounding = rounding.view(-1, group).amax(dim=1)
        size = cls._norms(keys).view(-1, group).amax(dim=1) + rounding + TINY
        # The last two stand for the conversion to float32, and for underflow.
        return KeyCodes(codes, scale, size, rounding + 8 * UNIT * size + TINY)


class Float32Codes(Codes):
    """The vectors themselves, in float32."""

    dtype = product_dtype = torch.float32

    @classmethod
    def product_error(cls, d: int, *, on_cpu: bool) -> float:
        # Both factors and the sum of d products. Where torch may shorten the factors,
        # which other threads can ask for at any time, that is at most to bfloat16.
        factors = UNIT if on_cpu and _full_precision() else 2.0**-8
        return 2 * factors + 2 * (d + 4) * UNIT

    @classmethod
    def _round_queries(cls, queries):
        return queries, 1.0, torch.zeros_like(queries[:, 0])

    @staticmethod
    def key_error(size):
        """Bound on the norm of what keys of that size lose when they become float32."""
        return 8 * UNIT * size + TINY

    @classmethod
    def encode_keys(cls, keys: Tensor, group: int) -> KeyCodes:
        size = cls._norms(keys).view(-1, group).amax(dim=1) + TINY
        return KeyCodes(keys, None, size, cls.key_error(size))


class BFloat16Codes(Codes):
    """Eight significant bits, for processors with units for bfloat16."""

    dtype = product_dtype = torch.bfloat16

    @classmethod
    def product_error(cls, d: int, *, on_cpu: bool) -> float:
        # The sums are of float32, which libraries do not split for tiles as large as
        # ours; the result is rounded to bfloat16.
        return 2.0**-8 + 2 * (d + 4) * UNIT

    @classmethod
    def _round_queries(cls, queries):
        codes, rounding = cls._round(queries)
        return codes, 1.0, rounding

    @classmethod
    def _round_keys(cls, keys, group):
        codes, rounding = cls._round(keys)
        return codes, None, rounding

    @classmethod
    def _round(cls, rows):
        codes = rows.to(torch.bfloat16)
        return codes, cls._norms(rows - codes)


class Int8Codes(Codes):
    """Integers up to 127, for processors with units for products of 8-bit integers.

    The keys of a group share a scale, so that the largest of their integer products is
    the largest of their scores.
    """

    dtype, product_dtype = torch.int8, torch.int32

    @classmethod
    def product_error(cls, d: int, *, on_cpu: bool) -> float:
        return 0.0

    @staticmethod
    def mm(codes: Tensor, others: Tensor, out: Tensor | None = None) -> Tensor:
        return torch._int_mm(codes, others, out=out)

    @classmethod
    def _round_queries(cls, queries):
        exact = queries * 127
        rounded = exact.round()
        codes = whole(rounded.to(torch.int8))
        return codes, 1 / 127, cls._norms(exact.sub_(rounded)) / 127

    @classmethod
    def _round_keys(cls, keys, group):
        groups = keys.view(-1, group * keys.shape[1])
        scale = groups.abs().amax(dim=1) / 127
        scale = torch.where(scale > TINY, scale, 1.0)
        exact = groups / scale[:, None]
        rounded = exact.round()
        codes = whole(rounded.to(torch.int8).view(keys.shape))
        rounding = cls._norms(exact.sub_(rounded).view(keys.shape))
        return codes, scale, rounding * scale.repeat_interleave(group)


def whole(codes: Tensor) -> Tensor:
    """Codes of a width that products of integers can do with."""
    missing = -codes.shape[1] % 8
    return F.pad(codes, (0, missing)) if missing else codes


def _full_precision() -> bool:
    """Whether torch multiplies float32 matrices without shortening the factors."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # set by a newer interface, whose answer this one cannot give
        return False
