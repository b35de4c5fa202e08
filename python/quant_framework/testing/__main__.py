"""The offline exchange in the foreground: ``python -m quant_framework.testing --port 8900``."""

from __future__ import annotations

import argparse
import signal
import threading

from quant_framework.testing.exchange import OfflineExchange
from quant_framework.testing.limits import QUOTA_HEADERS, Limits, Window


def window(text: str) -> Window:
    """``40/60``, or ``1200/60/fixed``."""
    weight, seconds, *kind = (text if "/" in text else f"{text}/60").split("/")
    try:
        return Window.of((int(weight), float(seconds or 60), *kind))
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from None


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--recorded", metavar="DIR", help="folder of candles such as BTC_1m.csv")
    parser.add_argument(
        "--limit", action="append", type=window, metavar="WEIGHT/SECONDS[/fixed]", help="40/60; may be repeated"
    )
    parser.add_argument("--no-limit", action="store_true", help="nor those of Binance's protocol")
    parser.add_argument("--quota-headers", choices=[style for style in QUOTA_HEADERS if style])
    parser.add_argument("--api-key", default="offline")
    arguments = parser.parse_args()
    limits = Limits(arguments.limit or (40, 60.0), quota_headers=arguments.quota_headers)
    limit = None if arguments.no_limit else limits
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with OfflineExchange(
        recorded=arguments.recorded,
        limit=limit,
        api_key=arguments.api_key,
        port=arguments.port,
    ) as exchange:
        print(exchange.url, flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
