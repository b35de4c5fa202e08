"""The command line: ``quant-framework``. A module has the commands of one thing; ``program`` puts them together."""

from quant_framework.cli.program import Progress, main, parser

__all__ = ["Progress", "main", "parser"]
