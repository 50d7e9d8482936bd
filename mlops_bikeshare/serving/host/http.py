"""Uvicorn's fast HTTP protocol, with the bound on a request's head that its parser does not have.

Input    bytes of connections; `MAX_HEAD` bytes at most before a request's head is complete.
Output   requests for the application; 400 and the end of the connection above the bound.
Source   RFC 9110, section 5.4 (limits are the server's); uvicorn's own h11 protocol has 64 KiB.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024


class BoundedHttp(HttpToolsProtocol):
    """Counts what comes before a head is complete."""

    _head: int | None = 0

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        super().data_received(data)
        if self._head is None or self.transport.is_closing():
            return
        self._head += len(data)
        if self._head > MAX_HEAD:
            self.send_400_response("The request's head is too long.")

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._head = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._head = 0
        super().on_message_complete()
