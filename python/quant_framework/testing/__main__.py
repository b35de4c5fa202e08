"""The offline exchange in the foreground: ``python -m quant_framework.testing --port 8900``."""

from __future__ import annotations

import argparse
import signal
import threading

from quant_framework.testing.exchange import OfflineExchange


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--recorded", metavar="DIR", help="folder of candles such as BTC_1m.csv")
    parser.add_argument("--limit", default="40/60", metavar="WEIGHT/SECONDS")
    parser.add_argument("--no-limit", action="store_true")
    parser.add_argument("--api-key", default="offline")
    arguments = parser.parse_args()
    weight, _, seconds = arguments.limit.partition("/")
    limit = None if arguments.no_limit else (int(weight), float(seconds or 60))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with OfflineExchange(
        recorded=arguments.recorded, limit=limit, api_key=arguments.api_key, port=arguments.port
    ) as exchange:
        print(exchange.url, flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
