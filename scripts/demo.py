"""`make demo`: real processes, three orders and a kill -9, and at the end everything adds up.

Each story prints the answer, the saga's timeline and ledger, and before and after it money, stock and the
length of each service's ledger. The exit code is 0 only if every story ended as it must. On a terminal it
then serves until Ctrl-C. Ctrl-C or SIGTERM end it at any moment, and nothing is left behind.
"""

import signal
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Final

import grpc
from google.type import money_pb2

from saga.orders.v1 import orders_pb2, orders_pb2_grpc
from saga.testing.v1 import faults_pb2, faults_pb2_grpc
from saga.v1 import coordinator_pb2, coordinator_pb2_grpc, ledger_pb2, ledger_pb2_grpc, types_pb2
from scripts.books import Books, read_books
from scripts.cluster import SERVICES, Cluster, NotReady

CALL_TIMEOUT_S: Final = 30.0
_ANSWER_LOST: Final = """{"rules": [{"service": "PaymentService", "transaction": "processPayment",
  "fault": "reply_lost", "times": 1}]}"""


class Demo:
    """The stories, over one running cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        coordinator = grpc.insecure_channel(cluster.address)
        participants = grpc.insecure_channel(cluster.participants_address)
        self._orders = orders_pb2_grpc.OrderPlacementServiceStub(coordinator)
        self._sagas = coordinator_pb2_grpc.CoordinatorServiceStub(coordinator)
        self._ledger = ledger_pb2_grpc.LedgerServiceStub(participants)
        self._faults = faults_pb2_grpc.FaultServiceStub(participants)
        self._wrong: list[str] = []

    def placed(self) -> None:
        """An order that goes through."""
        self._tell("1. placed", "Everything is there: every service does its part.")
        self._story(lambda: self._place("o-1", "u-1", "sku-1", 2), orders_pb2.SUCCESS)

    def out_of_stock(self) -> None:
        """An order that the second service refuses."""
        self._tell(
            "2. out of stock", "Nobody has a thousand of sku-short: the order that was created is undone."
        )
        self._story(lambda: self._place("o-2", "u-1", "sku-short", 1000), orders_pb2.FAILED)

    def card_refused(self) -> None:
        """An order that the third service refuses: two steps are undone, the last one first."""
        self._tell("3. card refused", "u-broke has no money: the stock is released, then the order undone.")
        self._story(lambda: self._place("o-3", "u-broke", "sku-1", 3), orders_pb2.FAILED)

    def killed(self) -> None:
        """The coordinator is killed in the middle of an order, and finishes it after its restart."""
        self._tell(
            "4. coordinator killed",
            "The card is charged and the answer is lost; kill -9; a new start asks under the same key.",
        )
        self._faults.SetFaults(faults_pb2.SetFaultsRequest(faults_json=_ANSWER_LOST))

        def order() -> orders_pb2.PlaceOrderResponse:
            with ThreadPoolExecutor(1) as pool:
                first = pool.submit(self._place, "o-4", "u-1", "sku-2", 1)
                self._await_applied("o-4", "processPayment")
                coordinator = self._cluster.coordinator
                if coordinator is None:
                    raise NotReady("there is no coordinator to kill")
                coordinator.kill()
                print(f"   kill -9 {coordinator.pid}: the card is charged, and the journal does not know it")
                print(f"   the caller got: {_code(first.exception())}")
            self._cluster.start_coordinator()
            assert self._cluster.coordinator is not None
            print(f"   started again as {self._cluster.coordinator.pid}; the same call again:")
            return self._place("o-4", "u-1", "sku-2", 1)

        self._story(order, orders_pb2.SUCCESS)
        self._faults.SetFaults(faults_pb2.SetFaultsRequest(faults_json="{}"))

    def adds_up(self) -> bool:
        """Money and stock against what the coordinator says became of each order."""
        self._tell("5. adds up", "Money and stock, against the orders that succeeded.")
        books = self._books()
        print(f"   orders that succeeded: o-1 and o-4, 42.00 EUR each, 3 pieces in all\n   {_told(books)}")
        self._expect(
            books.charged_net == 84, f"84.00 EUR are charged, net; the books say {books.charged_net}"
        )
        self._expect(books.reserved == 3, f"3 pieces are reserved; the books say {books.reserved}")
        self._expect(books.stock_adds_up, "free and reserved stock are what was received")
        self._expect(books.money_adds_up, "accounts and payments are what was opened with")
        for sentence in self._wrong:
            print(f"   WRONG: expected that {sentence}")
        print("   Everything adds up." if not self._wrong else "   It does not add up.")
        return not self._wrong

    def _story(
        self, order: Callable[[], orders_pb2.PlaceOrderResponse], expected: "orders_pb2.OrderStatus.ValueType"
    ) -> None:
        self._print_standing("before:")
        answer = order()
        status = orders_pb2.OrderStatus.Name(answer.status)
        saga_status = types_pb2.SagaStatus.Name(answer.saga_status).removeprefix("SAGA_STATUS_")
        print(f"   answer: {status} ({saga_status}) {answer.error_message}".rstrip())
        self._expect(answer.status == expected, f"{answer.order_id} ends as expected, not as {status}")
        self._print_timeline(answer.saga_id)
        self._print_ledger(answer.saga_id)
        self._print_standing("after:")

    def _place(
        self, order_id: str, user_id: str, item_id: str, quantity: int
    ) -> orders_pb2.PlaceOrderResponse:
        request = orders_pb2.PlaceOrderRequest(
            order_id=order_id,
            user_id=user_id,
            items=[orders_pb2.OrderItem(item_id=item_id, quantity=quantity)],
            payment_info=orders_pb2.PaymentInfo(
                method="card", token="tok-1", amount=money_pb2.Money(currency_code="EUR", units=42)
            ),
        )
        return self._orders.PlaceOrder(request, timeout=CALL_TIMEOUT_S, wait_for_ready=True)

    def _await_applied(self, request_id: str, transaction: str) -> None:
        """Return once the participant's ledger has the effect."""
        until = time.monotonic() + CALL_TIMEOUT_S
        listing = coordinator_pb2.ListSagasRequest(filter=f'request_id = "{request_id}"')
        while time.monotonic() < until:
            for saga in self._sagas.ListSagas(listing, timeout=CALL_TIMEOUT_S).sagas:
                if any(entry.transaction == transaction for entry in self._entries("", saga.saga_id)):
                    return
            time.sleep(0.02)
        raise NotReady(f"{transaction} of {request_id} was not applied in {CALL_TIMEOUT_S:g} s")

    def _saga(self, saga_id: str) -> types_pb2.Saga:
        request = coordinator_pb2.GetSagaRequest(saga_id=saga_id)
        return self._sagas.GetSaga(request, timeout=CALL_TIMEOUT_S, wait_for_ready=True).saga

    def _print_standing(self, moment: str) -> None:
        rows = (f"{name.removesuffix('Service')} {len(self._entries(name, ''))}" for name in SERVICES)
        print(f"   {moment:<7} {_told(self._books())}")
        print(f"           rows in the ledgers: {', '.join(rows)}")

    def _print_timeline(self, saga_id: str) -> None:
        saga = self._saga(saga_id)
        print(f"   timeline of saga {saga_id}:")
        for entry in saga.timeline:
            name = types_pb2.EventType.Name(entry.type).removeprefix("EVENT_TYPE_").lower().replace("_", " ")
            at_s = (entry.time.ToNanoseconds() - saga.create_time.ToNanoseconds()) / 1e9
            said = " ".join(part for part in (entry.step, entry.code, entry.message) if part)
            print(f"   {entry.seq:4} {at_s:+8.3f} s  {name:<18} {said}")

    def _print_ledger(self, saga_id: str) -> None:
        entries = self._entries("", saga_id)
        print("   what the participants' own ledgers say, in the order of their commits:")
        for entry in sorted(entries, key=lambda e: e.committed_ns):
            outcome = ledger_pb2.LedgerOutcome.Name(entry.outcome).removeprefix("LEDGER_OUTCOME_").lower()
            print(f"        {entry.service:<20} {entry.transaction:<20} {outcome}")

    def _entries(self, service: str, saga_id: str) -> list[ledger_pb2.LedgerEntry]:
        entries: list[ledger_pb2.LedgerEntry] = []
        request = ledger_pb2.ListLedgerEntriesRequest(service=service, saga_id=saga_id)
        while True:
            page = self._ledger.ListLedgerEntries(request, timeout=CALL_TIMEOUT_S)
            entries += page.entries
            if not page.next_page_token:
                return entries
            request.page_token = page.next_page_token

    def _books(self) -> Books:
        return read_books(self._cluster.participants_folder)

    def _expect(self, holds: bool, sentence: str) -> None:
        if not holds:
            self._wrong.append(sentence)

    def _tell(self, heading: str, sentence: str) -> None:
        print(f"\n{heading}\n   {sentence}")


def main() -> int:
    """Play the stories; on a terminal, serve until Ctrl-C."""
    # Also SIGINT by hand: a shell that starts this in the background has it ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        return _run()
    except NotReady as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing is left behind.")
        return 130


def _run() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="saga-demo-") as folder,
        Cluster(Path(folder), listen="127.0.0.1:0") as cluster,
    ):
        cluster.start()
        print(f"The coordinator serves at {cluster.address}, five services at ", end="")
        print(f"{cluster.participants_address}: real processes, real files.")
        ended_well = _play(Demo(cluster))
        if sys.stdin.isatty():
            _linger(cluster)
    return 0 if ended_well else 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    # A second one would cut the cleaning up short.
    for ignored in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    raise KeyboardInterrupt


def _play(demo: Demo) -> bool:
    demo.placed()
    demo.out_of_stock()
    demo.card_refused()
    demo.killed()
    return demo.adds_up()


def _linger(cluster: Cluster) -> None:
    print(
        f"""
It stays up until Ctrl-C. Try:
  grpcurl -plaintext {cluster.address} list
  grpcurl -plaintext {cluster.address} saga.v1.CoordinatorService/ListSagas
  grpcurl -plaintext -d '{{"order_id":"o-5","user_id":"u-2","items":[{{"item_id":"sku-1","quantity":1}}],\
"payment_info":{{"method":"card","token":"tok-1","amount":{{"currency_code":"EUR","units":"42"}}}}}}' \
{cluster.address} saga.orders.v1.OrderPlacementService/PlaceOrder"""
    )
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        print("\nStopped; nothing is left behind.")


def _told(books: Books) -> str:
    shipments = "1 shipment" if books.shipments == 1 else f"{books.shipments} shipments"
    return (
        f"charged {float(books.charged_net):.2f} EUR net; "
        f"stock {books.reserved} reserved, {books.free} free; {shipments} scheduled"
    )


def _code(error: BaseException | None) -> str:
    return error.code().name if isinstance(error, grpc.RpcError) else str(error)


if __name__ == "__main__":
    sys.exit(main())
