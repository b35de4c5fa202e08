"""What the command line says of one series: its key, and what is covered of it."""

from __future__ import annotations

from quant_framework.arguments import Range, Ranges
from quant_framework.ingestion.backfill import Checkpoint

KEY = "source/data_type/symbol/timeframe"


def is_series(key: str) -> bool:
    """Whether ``key`` is a series'; stores keep beside them what bare names were resolved to."""
    return key.count("/") == KEY.count("/")


def span(checkpoint: Checkpoint) -> Range | None:
    """From the first moment that anything is known of to the end of the last one."""
    known = sorted([*checkpoint.data, *checkpoint.empty])
    return (known[0][0], known[-1][1]) if known else None


def never_asked(checkpoint: Checkpoint) -> Ranges:
    """The ranges between the first and the last known moment of which nothing is known."""
    whole = span(checkpoint)
    return checkpoint.missing(*whole) if whole else []


def gaps(checkpoint: Checkpoint) -> str:
    """The gaps of a series in a few words: those that the source has nothing for, and those nobody asked for."""
    kinds = {"empty": len(checkpoint.empty), "never asked": len(never_asked(checkpoint))}
    each = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    return f"{sum(kinds.values())} gaps" + (f" ({each})" if each else "")
