"""What an adapter of an author's own may answer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from quant_framework.arguments import Rows

__all__ = ["Fetched"]


class Fetched(NamedTuple):
    """What an adapter of an author's own may answer instead of rows alone."""

    rows: Rows
    """``[]`` for none."""
    truncated: bool = False
    """The source cut the answer short: what lies after the last row is asked for again."""
    lineage: Mapping[str, str] = MappingProxyType({})
    """Where the rows come from, without secrets; kept with the object that they are written to."""
