"""``python -m quant_framework.cli``."""

import sys

from quant_framework.cli import main

sys.exit(main())
