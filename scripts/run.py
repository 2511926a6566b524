"""`make run`: the coordinator on 127.0.0.1:50051 with all example participants, until Ctrl-C."""

import argparse
import sys
import time
from pathlib import Path
from typing import Final

from scripts.cluster import ROOT, Cluster, NotReady, end_by_signals

LISTEN: Final = "127.0.0.1:50051"
HTTP_LISTEN: Final = "127.0.0.1:9464"
PARTICIPANTS_LISTEN: Final = "127.0.0.1:50061"
ANY_PORT: Final = "127.0.0.1:0"
FOLDER: Final = ROOT / "var" / "run"

_ORDER: Final = (
    '{"order_id":"o-1","user_id":"u-1","items":[{"item_id":"sku-1","quantity":2}],'
    '"payment_info":{"method":"card","token":"tok-1","amount":{"currency_code":"EUR","units":"42"}}}'
)


def main() -> int:
    """Serve until Ctrl-C or SIGTERM; participants that crash are started again."""
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument(
        "--listen", default=LISTEN, help="where the coordinator serves (default: %(default)s)"
    )
    parser.add_argument(
        "--http-listen",
        help="where it serves metrics and probes; empty: nowhere "
        f"(default: {HTTP_LISTEN}, any free port with another --listen)",
    )
    parser.add_argument(
        "--participants-listen",
        help="where the example participants serve "
        f"(default: {PARTICIPANTS_LISTEN}, any free port with another --listen)",
    )
    parser.add_argument("--data", default=FOLDER, type=Path, help="files and logs (default: %(default)s)")
    asked = parser.parse_args()
    end_by_signals()
    # A second one beside the first: all its ports differ, and only one of them has to be thought of.
    second = asked.listen != LISTEN
    http, participants = (ANY_PORT, ANY_PORT) if second else (HTTP_LISTEN, PARTICIPANTS_LISTEN)
    with Cluster(
        asked.data,
        listen=asked.listen,
        http_listen=http if asked.http_listen is None else asked.http_listen,
        participants_listen=asked.participants_listen or participants,
    ) as cluster:
        try:
            cluster.start()
            _greet(cluster, asked.data)
            return _supervise(cluster)
        except NotReady as error:
            print(f"run: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nStopping; open sagas go on at the next start.", flush=True)
            return 0


def _supervise(cluster: Cluster) -> int:
    while True:
        time.sleep(0.5)
        if cluster.coordinator is not None and cluster.coordinator.exit_code is not None:
            code = cluster.coordinator.exit_code
            print(f"run: the coordinator ended with exit code {code}; its log says why", file=sys.stderr)
            return code or 1
        if cluster.participants is not None and cluster.participants.exit_code is not None:
            print("run: the participants ended; starting them again", file=sys.stderr)
            cluster.start_participants()


def _greet(cluster: Cluster, folder: Path) -> None:
    print(
        f"""Serving at {cluster.address}; participants at {cluster.participants_address}.
Files and logs are in {folder}.

  make setup  # it brings grpcurl, for those who have none: .venv/bin/grpcurl
  grpcurl -plaintext -d '{_ORDER}' \\
    {cluster.address} saga.orders.v1.OrderPlacementService/PlaceOrder
  grpcurl -plaintext {cluster.address} list
  grpcurl -plaintext {cluster.address} saga.v1.CoordinatorService/ListSagas
{_scrape(cluster)}
Ctrl-C ends it.""",
        flush=True,
    )


def _scrape(cluster: Cluster) -> str:
    return f"  curl -s http://{cluster.http_address}/metrics\n" if cluster.http_address else ""


if __name__ == "__main__":
    sys.exit(main())
