"""`make demo`: real processes, orders that go well and badly, and at the end everything adds up.

Each story prints the answer, the saga as `saga show` draws it, the participants' own ledgers, and before
and after it money and stock. The exit code is 0 only if every story ended as it must. On a terminal it
then serves until Ctrl-C. Ctrl-C or SIGTERM end it at any moment, and nothing is left behind.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Final

import grpc

from coordinator.client import (
    BlockingClient,
    ClientError,
    Item,
    Money,
    Order,
    OrderStatus,
    Payment,
    Saga,
    SagaStatus,
)
from saga.testing.v1 import faults_pb2, faults_pb2_grpc
from saga.v1 import ledger_pb2, ledger_pb2_grpc
from scripts.books import Books, read_books
from scripts.cluster import ROOT, SERVICES, Cluster, NotReady, end_by_signals
from scripts.run import LISTEN

CALL_TIMEOUT_S: Final = 30.0
SAGA: Final = Path(sys.executable).parent / "saga"
PRICE: Final = Money("EUR", 42)

_SHIPPING_HANGS: Final = """{"rules": [{"service": "ShippingService", "transaction": "scheduleShipment",
  "fault": "hang"}]}"""
_ANSWER_LOST: Final = """{"rules": [{"service": "PaymentService", "transaction": "processPayment",
  "fault": "reply_lost", "times": 1}]}"""
_UNDO_REFUSED: Final = """{"rules": [{"service": "InventoryService", "compensation": "releaseInventory",
  "fault": "refused", "code": "STOCKTAKING", "message": "Nothing moves while the shelves are counted."}]}"""
_SHIPPING_SLOW: Final = """{"rules": [{"service": "ShippingService", "transaction": "scheduleShipment",
  "fault": "latency", "distribution": "fixed", "ms": 1500}]}"""
_TICKETS_BUSY: Final = """{"rules": [{"service": "TicketService", "transaction": "issueTickets",
  "fault": "faulted", "code": "PRINTER_BUSY", "times": 2}]}"""
_NO_FAULTS: Final = "{}"


class Demo:
    """The stories, over one running cluster."""

    def __init__(self, cluster: Cluster, client: BlockingClient) -> None:
        self._cluster = cluster
        self._client = client
        participants = grpc.insecure_channel(cluster.participants_address)
        self._ledger = ledger_pb2_grpc.LedgerServiceStub(participants)
        self._faults = faults_pb2_grpc.FaultServiceStub(participants)
        self._orders: dict[str, Order] = {}
        self._wrong: list[str] = []

    def play(self) -> bool:
        """All stories, in order; whether each ended as it must."""
        self.placed()
        self.out_of_stock()
        self.card_refused()
        self.shipping_hangs()
        self.killed()
        self.undo_fails()
        self.joined()
        self.trip_booked()
        self.trip_sold_out()
        return self.adds_up()

    def saga_id(self, order_id: str) -> str:
        """The saga of an order that was played."""
        return self._orders[order_id].saga_id

    def placed(self) -> None:
        """An order that goes through."""
        self._tell("1. placed", "Everything is there: every service does its part.")
        self._story(lambda: self._place("o-1", "u-1", "sku-1", 2), OrderStatus.SUCCESS)

    def out_of_stock(self) -> None:
        """An order that the second service refuses."""
        self._tell(
            "2. out of stock", "Nobody has a thousand of sku-short: the order that was created is undone."
        )
        self._story(lambda: self._place("o-2", "u-1", "sku-short", 1000), OrderStatus.FAILED)

    def card_refused(self) -> None:
        """An order that the third service refuses: two steps are undone, the last one first."""
        self._tell("3. card refused", "u-broke has no money: the stock is released, then the order undone.")
        self._story(lambda: self._place("o-3", "u-broke", "sku-1", 3), OrderStatus.FAILED)

    def shipping_hangs(self) -> None:
        """A service that never answers: timed out, asked again, undone although nobody knows what it did."""
        self._tell(
            "4. shipping hangs",
            "No answer in 2 s, three times: everything is undone, the shipment that may exist included.",
        )
        with self._faults_set(_SHIPPING_HANGS) as faults:

            def order() -> Order:
                with ThreadPoolExecutor(1) as pool:
                    placing = pool.submit(self._place, "o-4", "u-1", "sku-1", 1)
                    self._await_undo("o-4")
                    faults.clear()
                    return placing.result()

            self._story(order, OrderStatus.FAILED)

    def killed(self) -> None:
        """The coordinator is killed in the middle of an order, and finishes it after its restart."""
        self._tell(
            "5. coordinator killed",
            "The card is charged and the answer is lost; kill -9; a new start asks under the same key.",
        )

        def order() -> Order:
            with ThreadPoolExecutor(1) as pool:
                # The client bridges the restart by itself: it asks again, and joins its own order.
                placing = pool.submit(self._place, "o-5", "u-1", "sku-2", 1)
                self._await_applied("o-5", "processPayment")
                coordinator = self._cluster.coordinator
                if coordinator is None:
                    raise NotReady("there is no coordinator to kill")
                coordinator.kill()
                print(f"   kill -9 {coordinator.pid}: the card is charged, and the journal does not know it")
                self._cluster.start_coordinator()
                assert self._cluster.coordinator is not None
                print(f"   started again as {self._cluster.coordinator.pid}; the caller is still waiting")
                return placing.result()

        with self._faults_set(_ANSWER_LOST):
            self._story(order, OrderStatus.SUCCESS)

    def undo_fails(self) -> None:
        """A compensation that is refused: the saga waits for a person, who looks, and has it tried again."""
        self._tell(
            "6. undo fails",
            "No money again, but the stock cannot be released: the saga goes before a person.",
        )
        with self._faults_set(_UNDO_REFUSED):
            self._story(lambda: self._place("o-6", "u-broke", "sku-1", 3), OrderStatus.FAILED)
        saga_id = self._orders["o-6"].saga_id
        self._type("dead-letters", "list")
        self._type("dead-letters", "show", saga_id)
        print("   The counting is over, so the operator has it tried again:")
        self._type(
            *("dead-letters", "retry", saga_id, "reserveInventory"),
            *("--actor", "ada", "--reason", "stocktaking is over", "--yes"),
        )
        self._type("wait", saga_id, fine=(0, 4))
        self._type("show", saga_id)
        self._print_standing("after:")
        status = self._client.get(saga_id).status
        self._expect(status is SagaStatus.COMPENSATED, f"o-6 is undone in the end, not {status}")

    def joined(self) -> None:
        """The same order placed twice at once, and by a client that left and came back: it is one order."""
        self._tell(
            "7. joined",
            "Shipping takes its time. One caller leaves, one comes meanwhile, one comes back: one order.",
        )

        def order() -> Order:
            with ThreadPoolExecutor(1) as pool:
                second = pool.submit(self._late, "o-7")
                try:
                    self._place("o-7", "u-1", "sku-1", 1, timeout_s=0.6)
                except ClientError as error:
                    print(f"   the first caller leaves: {error}")
                back = self._place("o-7", "u-1", "sku-1", 1)
                same = back == second.result()
            print(f"   both callers have the same answer: {'yes' if same else 'NO'}")
            self._expect(same, "whoever joins o-7 gets the same answer")
            return back

        with self._faults_set(_SHIPPING_SLOW):
            self._story(order, OrderStatus.SUCCESS)

    def trip_booked(self) -> None:
        """A graph of steps: three side by side, the payment as the decision, then what must succeed."""
        self._tell(
            "8. trip booked",
            "Flight, hotel and car side by side; the payment is the pivot; tickets are asked for until they\n"
            "   are there.",
        )
        with self._faults_set(_TICKETS_BUSY):
            saga = self._travel("t-1", car={"car_id": "car-1", "days": 2})
        self._expect(saga.status is SagaStatus.COMPLETED, f"t-1 is booked, not {saga.status}")

    def trip_sold_out(self) -> None:
        """A refusal among steps that run side by side: the others are undone, in any order."""
        self._tell(
            "9. trip sold out", "The last room is gone by now: the flight is given back. No car was wanted."
        )
        saga = self._travel("t-2")
        self._expect(saga.status is SagaStatus.COMPENSATED, f"t-2 is undone, not {saga.status}")

    def adds_up(self) -> bool:
        """Money, stock and places against what the coordinator says became of each order and trip."""
        self._tell("10. adds up", "All sagas, and money, stock and places against what succeeded.")
        self._type("list")
        books = self._books()
        print(
            "   orders that succeeded: o-1, o-5 and o-7, 42.00 EUR each, 4 pieces in all\n"
            "   trips that succeeded: t-1, 299.30 EUR for a flight, a night and a car for two days\n"
            f"   {_told(books)}"
        )
        succeeded = {name for name, order in self._orders.items() if order.status is OrderStatus.SUCCESS}
        self._expect(succeeded == {"o-1", "o-5", "o-7"}, f"o-1, o-5 and o-7 succeeded, not {succeeded}")
        charged = 126 + Fraction("299.30")
        self._expect(
            books.charged_net == charged, f"425.30 EUR are charged, net; the books say {books.charged_net}"
        )
        self._expect(books.booked == 3, f"3 places are booked; the books say {books.booked}")
        self._expect(books.tickets == {"t-1": 3}, f"t-1 has 3 tickets; the books say {books.tickets}")
        self._expect(books.places_add_up, "free and booked places are all the places there are")
        self._expect(books.reserved == 4, f"4 pieces are reserved; the books say {books.reserved}")
        self._expect(books.shipments == 3, f"3 shipments are scheduled; the books say {books.shipments}")
        self._expect(books.stock_adds_up, "free and reserved stock are what was received")
        self._expect(books.money_adds_up, "accounts and payments are what was opened with")
        for sentence in self._wrong:
            print(f"   WRONG: expected that {sentence}")
        print("   Everything adds up." if not self._wrong else "   It does not add up.")
        return not self._wrong

    def _story(self, place: Callable[[], Order], expected: OrderStatus) -> None:
        self._print_standing("before:")
        order = self._orders_add(place())
        print(f"   answer: {order.status} ({order.saga_status}) {order.error_message}".rstrip())
        self._expect(order.status is expected, f"{order.order_id} ends as expected, not as {order.status}")
        self._type("show", order.saga_id)
        self._print_ledger(order.saga_id)
        self._print_standing("after:")

    def _orders_add(self, order: Order) -> Order:
        self._orders[order.order_id] = order
        return order

    def _place(
        self, order_id: str, user_id: str, item_id: str, quantity: int, timeout_s: float = CALL_TIMEOUT_S
    ) -> Order:
        return self._client.place_order(
            order_id=order_id,
            user_id=user_id,
            items=[Item(item_id, quantity)],
            payment=Payment("card", "tok-1", PRICE),
            timeout_s=timeout_s,
        )

    def _travel(self, trip_id: str, **wishes: object) -> Saga:
        """Book a flight and a night in the hotel that has one room, and show what became of it."""
        self._print_standing("before:")
        saga = self._client.start(
            "BookTrip",
            {
                "trip_id": trip_id,
                "traveller_id": "u-1",
                "flight_id": "flight-1",
                "hotel_id": "hotel-last",
                "nights": 1,
                "payment_info": {"method": "card", "token": "tok-1"},
                **wishes,
            },
            request_id=trip_id,
            wait_s=CALL_TIMEOUT_S,
        ).saga
        print(f"   answer: {saga.status} {saga.error_message}".rstrip())
        self._type("show", saga.saga_id)
        self._print_ledger(saga.saga_id)
        self._print_standing("after:")
        return saga

    def _late(self, order_id: str) -> Order:
        """The same order once more, while it is under way."""
        self._await_applied(order_id, "processPayment")
        print("   a second caller comes with the same order, and joins it")
        return self._place(order_id, "u-1", "sku-1", 1)

    def _await_applied(self, request_id: str, transaction: str) -> None:
        """Return once the participant's ledger has the effect."""

        def is_applied() -> bool:
            sagas = list(self._client.list(request_id=request_id))
            return any(e.transaction == transaction for s in sagas for e in self._entries("", s.saga_id))

        self._await(is_applied, f"{transaction} of {request_id} to be applied")

    def _await_undo(self, request_id: str) -> None:
        """Return once the saga has turned back."""

        def turned_back() -> bool:
            return any(s.status is not SagaStatus.RUNNING for s in self._client.list(request_id=request_id))

        self._await(turned_back, f"{request_id} to turn back")

    def _await(self, happened: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + CALL_TIMEOUT_S
        while not happened():
            if time.monotonic() > until:
                raise NotReady(f"waited {CALL_TIMEOUT_S:g} s in vain for {what}")
            time.sleep(0.02)

    def _faults_set(self, faults_json: str) -> "_Faults":
        return _Faults(self._faults, faults_json)

    def _type(self, *words: str, fine: tuple[int, ...] = (0,)) -> None:
        """Run the command `saga` as a person would, and show what it prints."""
        print(f"   $ saga {' '.join(f'{word!r}' if ' ' in word else word for word in words)}")
        said = subprocess.run(
            [SAGA, *words],
            cwd=ROOT,
            env={**os.environ, "SAGA_ADDRESS": self._cluster.address, "COLUMNS": "107"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=CALL_TIMEOUT_S,
            check=False,
        )
        print("".join(f"   {line}".rstrip() + "\n" for line in said.stdout.splitlines()), end="")
        self._expect(said.returncode in fine, f"saga {words[0]} exits with {fine}, not {said.returncode}")

    def _print_standing(self, moment: str) -> None:
        counts = {name.removesuffix("Service"): len(self._entries(name, "")) for name in SERVICES}
        rows = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
        print(f"   {moment:<7} {_told(self._books())}")
        print(f"           rows in the ledgers: {rows or 'none'}")

    def _print_ledger(self, saga_id: str) -> None:
        entries = self._entries("", saga_id)
        print("   what the participants' own ledgers say, in the order of their commits:")
        for entry in sorted(entries, key=lambda e: e.committed_ns):
            outcome = ledger_pb2.LedgerOutcome.Name(entry.outcome).removeprefix("LEDGER_OUTCOME_").lower()
            print(f"        {entry.service:<20} {entry.transaction:<21} {outcome}")

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


class _Faults:
    """Faults that the participants have until `clear`, or until the story is told."""

    def __init__(self, stub: faults_pb2_grpc.FaultServiceStub, faults_json: str) -> None:
        self._stub = stub
        self._faults_json = faults_json

    def __enter__(self) -> "_Faults":
        self._set(self._faults_json)
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Everything works again."""
        self._set(_NO_FAULTS)

    def _set(self, faults_json: str) -> None:
        self._stub.SetFaults(faults_pb2.SetFaultsRequest(faults_json=faults_json), timeout=CALL_TIMEOUT_S)


def main() -> int:
    """Play the stories; on a terminal, serve until Ctrl-C."""
    return ending_cleanly("demo", _run)


def ending_cleanly(name: str, run: Callable[[], int]) -> int:
    """The exit code of *run*, which Ctrl-C and SIGTERM end by way of its `with` blocks."""
    end_by_signals()
    try:
        return run()
    except (NotReady, ClientError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing is left behind.")
        return 130


def linger() -> None:
    """Return at Ctrl-C."""
    # Whoever reads along through a pipe has all of it now, not only what a buffer was too small for.
    sys.stdout.flush()
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        print("\nStopped; nothing is left behind.")


def lines_to_try(address: str) -> str:
    """More orders, and how to see what became of them, for the coordinator at *address*."""
    return f"""
  make setup  # it brings grpcurl
  export PATH=$PWD/.venv/bin:$PATH SAGA_ADDRESS={address}
  saga list
  saga participants list
  saga start PlaceOrder --wait --input '{{"order_id":"o-30","user_id":"u-2",\
"items":[{{"item_id":"sku-1","quantity":1}}],\
"payment_info":{{"method":"card","token":"tok-1",\
"amount":{{"currency_code":"EUR","units":42,"nanos":0}}}}}}'
  grpcurl -plaintext -d '{{"order_id":"o-31","user_id":"u-2","items":[{{"item_id":"sku-1","quantity":1}}],\
"payment_info":{{"method":"card","token":"tok-1","amount":{{"currency_code":"EUR","units":"42"}}}}}}' \
{address} saga.orders.v1.OrderPlacementService/PlaceOrder"""


def _run() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="saga-demo-") as folder,
        Cluster(Path(folder), listen="127.0.0.1:0") as cluster,
    ):
        cluster.start()
        print(f"The coordinator serves at {cluster.address}, {len(SERVICES)} services at ", end="")
        print(f"{cluster.participants_address}: real processes, real files.")
        with BlockingClient(cluster.address) as client:
            ended_well = Demo(cluster, client).play()
        if sys.stdin.isatty():
            print(f"\nIt stays up until Ctrl-C. Try in another terminal:{lines_to_try(cluster.address)}")
            linger()
        else:
            print(f"\nLines to try while `make run` serves:{lines_to_try(LISTEN)}")
    return 0 if ended_well else 1


def _told(books: Books) -> str:
    shipments = "1 shipment" if books.shipments == 1 else f"{books.shipments} shipments"
    return (
        f"charged {float(books.charged_net):.2f} EUR net; "
        f"stock {books.reserved} reserved, {books.free} free; {shipments} scheduled; "
        f"{books.booked} places booked"
    )


if __name__ == "__main__":
    sys.exit(main())
