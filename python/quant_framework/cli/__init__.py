"""The command line: ``quant-framework``. A module has the commands of one thing; ``program`` puts them together."""

from quant_framework.cli.program import main, parser
from quant_framework.cli.running import Progress

__all__ = ["Progress", "main", "parser"]
