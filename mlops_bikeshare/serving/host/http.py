"""Uvicorn's fast HTTP protocol, with the bound on a request's head that its parser does not have.

Input    bytes of connections; `MAX_HEAD` bytes at most that bring neither a complete head nor any
         of a body: the head itself, and what a chunked body has between and after its chunks.
Output   requests for the application; 400 and the end of the connection above the bound.
Source   RFC 9110, section 5.4 (limits are the server's) and 6.5 (trailers); uvicorn's own h11
         protocol has 64 KiB.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024


class BoundedHttp(HttpToolsProtocol):
    """Counts what came since a head, a piece of a body or a message was complete."""

    _idle = 0
    _moved = False

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._moved = False
        super().data_received(data)
        if not self.transport.is_closing():
            # where something was completed in this piece, only what follows it would count
            self._idle = 0 if self._moved else self._idle + len(data)
            if self._idle > MAX_HEAD:
                self.send_400_response("The request's head is too long.")

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._moved = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._moved = True
        super().on_message_complete()
