"""Viewers of the dashboard without their browsers: they speak Streamlit's own protocol.

Twenty Chromiums on the cores that also serve would measure Chromium, whose empty Streamlit page
already takes a CPU second. A viewer here opens the page and reads every message up to the end of
the script, the map with all of its dots among them.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect
from websockets.typing import Origin, Subprotocol

from tests.bench.measure import BenchError

MOST_S = 60
_MOST_BYTES = 2**24


def together(url: str, *, viewers: int, least_bytes: int) -> list[float]:
    """Seconds of each of so many viewers who open the page at once."""

    async def every() -> list[float]:
        opened = (_view(url, least_bytes=least_bytes) for _ in range(viewers))
        return await asyncio.wait_for(asyncio.gather(*opened), MOST_S)

    # A thread of their own: Playwright, which holds the pages open, runs this one's loop.
    with ThreadPoolExecutor(1) as alone:
        return alone.submit(lambda: asyncio.run(every())).result()


async def _view(url: str, *, least_bytes: int) -> float:
    began, received = time.perf_counter(), 0
    opening = BackMsg()
    opening.rerun_script.query_string = ""
    address = url.replace("http", "ws", 1) + "/_stcore/stream"
    async with connect(
        address, origin=Origin(url), subprotocols=[Subprotocol("streamlit")], max_size=_MOST_BYTES
    ) as socket:
        await socket.send(opening.SerializeToString())
        async for message in socket:
            told = ForwardMsg.FromString(bytes(message))  # type: ignore[arg-type]
            received += len(message)
            if told.WhichOneof("type") == "script_finished":
                break
    if received < least_bytes:
        raise BenchError(f"a viewer got {received} bytes: the map is not among them")
    return time.perf_counter() - began
