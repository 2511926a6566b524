"""What a response says of a reply, also where there is little to say."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from participants.calls import Answer, Faulted, Pending, Refused, Reply, Succeeded
from participants.responses import fill
from saga.v1 import participant_pb2 as pb

HALF = Duration(nanos=500_000_000)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Succeeded('{"a":1}'), {"succeeded": pb.Succeeded(output_json='{"a":1}')}),
        (Succeeded(""), {"succeeded": pb.Succeeded()}),
        (Refused("NO", "No."), {"refused": pb.Refused(code="NO", message="No.")}),
        (Pending(), {"pending": pb.Pending()}),
        (Pending(0.5), {"pending": pb.Pending(ask_again_after=HALF)}),
        (Pending(0), {"pending": pb.Pending(ask_again_after=Duration())}),
        (Faulted("BUSY", ""), {"faulted": pb.Faulted(code="BUSY")}),
        (
            Faulted("BUSY", "Busy.", 0.5),
            {"faulted": pb.Faulted(code="BUSY", message="Busy.", retry_after=HALF)},
        ),
        (None, {}),
    ],
)
def test_a_response_says_what_the_reply_says(answer: Answer | None, said: dict[str, object]) -> None:
    for kind in (pb.ExecuteResponse, pb.CompensateResponse):
        response = kind()
        fill(response, Reply("key-1", answer))
        assert response == kind(idempotency_key="key-1", **said)  # type: ignore[arg-type]
        assert kind.FromString(response.SerializeToString()).WhichOneof("outcome") == next(iter(said), None)
