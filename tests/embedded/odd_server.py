"""A server that misbehaves in known ways: ``python -m tests.embedded.odd_server HOST PORT [stall]``.

The path says how. ``/reset``: resets the connection after the request. ``/cut``: promises more bytes than it sends.
``/silent``: never answers. ``/wrong``: 200 with the wrong body. ``/echo``: 500 with the request as body. Anything else
is answered after 5 ms; with ``stall`` the whole server stands still for 500 ms every 5 s.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time


def answer(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + body


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1]
            if path == b"/reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                break
            if path == b"/silent":
                await asyncio.sleep(3600)
            await asyncio.sleep(0.005)
            said = {
                b"/cut": answer(b"half", length=100),
                b"/wrong": answer(b"something else"),
                b"/echo": answer(head, "500 Internal Server Error"),
            }
            writer.write(said.get(path, answer(b"right")))
            await writer.drain()
            if path == b"/cut":
                break
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main(host: str, port: int, *, stalls: bool) -> None:
    server = await asyncio.start_server(serve, host, port, backlog=1024)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    async with server:
        while stalls:
            await asyncio.sleep(4.5)
            time.sleep(0.5)  # the whole server stands still: that is the point
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), stalls="stall" in sys.argv[3:]))
