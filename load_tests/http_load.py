"""A small HTTP load generator: a fixed number of connections, each with one request out, over raw sockets.

It costs a few microseconds a request, so that on two cores the server, not the generator, is what is measured.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import cast

import msgspec


class Load(msgspec.Struct):
    """What a round came to. Latencies are in seconds, of requests answered 200 or 202."""

    seconds: float = 0.0
    latencies: list[float] = []
    failed: int = 0

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        """A latency in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


def post(path: str, body: bytes) -> bytes:
    """A request as bytes on the wire."""
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """Sends the next request when the answer to the one before is complete."""

    def __init__(self, take: Callable[[], bytes | None], load: Load, done: asyncio.Future[None]) -> None:
        self._take = take
        self._load = load
        self._done = done
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._send()

    def _send(self) -> None:
        request = self._take()
        if self._transport is None or request is None:
            if self._transport is not None:
                self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        if head[9:12] in (b"200", b"202"):
            self._load.latencies.append(time.perf_counter() - self._sent_at)
        else:
            self._load.failed += 1
        self._send()

    def connection_lost(self, _: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def run_load(port: int, requests: Sequence[bytes], seconds: float, connections: int = 32) -> Load:
    """Sends the requests round and round for so long."""
    loop = asyncio.get_running_loop()
    load = Load(latencies=[])
    place = 0
    began = time.perf_counter()
    until = began + seconds

    def take() -> bytes | None:
        nonlocal place
        place += 1
        return requests[place % len(requests)] if time.perf_counter() < until else None

    ends = [loop.create_future() for _ in range(connections)]
    for end in ends:
        await loop.create_connection(lambda end=end: _Connection(take, load, end), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*ends)
    load.seconds = time.perf_counter() - began
    return load
