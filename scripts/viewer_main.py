"""Phoenix as the trace viewer runs it; the one file of this project that runs in .venv-viewer.

Spans come to it over HTTP, at the one address that it serves. Its gRPC port would be open at every
address of this machine, with no setting that says otherwise, so it is not opened.
"""

from phoenix.server import app, main
from phoenix.server.grpc_server import GrpcServer


class _Unopened(GrpcServer):  # type: ignore[misc]
    async def __aenter__(self) -> None:
        """Open no port; `__aexit__` then finds nothing to close."""


if __name__ == "__main__":
    app.GrpcServer = _Unopened
    main.main()
