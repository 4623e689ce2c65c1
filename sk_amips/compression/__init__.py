"""Keep the keys that can win, and know what is lost."""

from ._compressor import DatabaseCompressor

__all__ = ["DatabaseCompressor"]
