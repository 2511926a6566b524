"""A client costs what it uses: words without gRPC, calls without the server's libraries."""

import json
import subprocess
import sys

import coordinator.client

# grpc itself looks whether grpc_health and grpc_reflection are there.
SERVER_ONLY = {
    "aiosqlite",
    "cel_expr_python",
    "grpc_status",
    "orjson",
    "prometheus_client",
    "pydantic",
    "rich",
    "starlette",
    "typer",
    "uvicorn",
    "yaml",
}
OURS = {"coordinator.adapters", "coordinator.api", "coordinator.domain", "coordinator.engine"}


def loaded_by(statement: str) -> set[str]:
    script = f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(run.stdout))


def test_the_words_of_the_client_load_no_grpc() -> None:
    loaded = loaded_by("from coordinator.client import SagaStatus, ClientError, Unavailable, Saga")
    assert "coordinator.client.model" in loaded
    assert not {"grpc", "google.protobuf"} & loaded


def test_the_clients_load_nothing_of_the_server() -> None:
    loaded = loaded_by("from coordinator.client import Client, BlockingClient, Operator")
    assert "grpc.aio" in loaded
    assert not (SERVER_ONLY | OURS) & loaded


def test_a_client_that_calls_loads_nothing_to_follow_its_calls_with() -> None:
    loaded = loaded_by(
        "from coordinator.client import *\n"
        "with BlockingClient('127.0.0.1:1', timeout_s=0.2) as client:\n"
        "    try:\n"
        "        client.place_order(order_id='o', user_id='u', items=[Item('i', 1)],\n"
        "            payment=Payment('card', 't', Money('EUR', 1)), timeout_s=0.2)\n"
        "    except ClientError:\n"
        "        reached = True\n"
        "assert reached"
    )
    assert "coordinator.client.tracing" in loaded
    assert not any(name.split(".")[0] == "opentelemetry" for name in loaded)


def test_every_name_that_is_promised_is_there() -> None:
    for name in coordinator.client.__all__:
        assert getattr(coordinator.client, name).__name__ == name
    assert not hasattr(coordinator.client, "Nobody")
