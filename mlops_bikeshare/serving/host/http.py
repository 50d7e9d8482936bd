"""Uvicorn's fast HTTP protocol, with the bound on a request's head that its parser does not have.

Input    bytes of connections; `MAX_HEAD` bytes at most before a request's head is complete.
Output   requests for the application; 400 and the end of the connection above the bound.
Source   RFC 9110, section 5.4 (limits are the server's); uvicorn's own h11 protocol has 64 KiB.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024


class BoundedHttp(HttpToolsProtocol):
    """Counts what comes before a head is complete."""

    _head = 0
    _in_head = True
    _completed = False

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._completed = False
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            # where a message ended in this piece, only what follows it would count
            self._head = 0 if self._completed else self._head + len(data)
            if self._head > MAX_HEAD:
                self.send_400_response("The request's head is too long.")

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._in_head = self._completed = True
        super().on_message_complete()
