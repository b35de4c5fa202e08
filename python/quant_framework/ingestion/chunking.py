"""How ranges are cut into requests."""

from quant_framework._core import AdaptiveChunkStrategy, FixedChunkStrategy

__all__ = ["AdaptiveChunkStrategy", "FixedChunkStrategy"]
