"""A call that no library would send, by hand."""

import asyncio


async def called_by_a_name_that_is_no_text(address: str) -> None:
    """Returns once it is answered, or its connection ends."""
    headers = {
        ":method": b"POST",
        ":scheme": b"http",
        ":path": b"/\xff",
        ":authority": b"x",
        "te": b"trailers",
        "content-type": b"application/grpc",
    }
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value
        for name, value in headers.items()
    )
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    settings = b"\0\0\0\4\0\0\0\0\0"
    opened = len(block).to_bytes(3, "big") + b"\1\5\0\0\0\1" + block
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + opened)
    answer = b""
    while b"grpc-status" not in answer and (more := await reader.read(1 << 16)):
        answer += more
    writer.close()
