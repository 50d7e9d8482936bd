"""What came with a request to S3, on the disk: out of its chunks, and as its sender meant it.

Raises   ApiError for a body that is not aws-chunked as it says, ends early, or has another sum.
Source   Amazon S3 API reference, "Transferring payload in multiple chunks".
"""

import re
import zlib
from base64 import b64encode
from pathlib import Path
from typing import BinaryIO

from mlops_bikeshare.serving.host.faults import ApiError

MAX_CHUNK_LINE = 1024
_PIECE = 1024**2
_HEX = re.compile(rb"[0-9a-fA-F]{1,16}")


def unchunked(chunked: Path) -> Path:
    """Content of an aws-chunked body (`size;signature` lines and data), trailers dropped."""
    content = chunked.with_suffix(".content")
    try:
        with chunked.open("rb") as source, content.open("wb") as out:
            while size := _chunk_size(source.readline(MAX_CHUNK_LINE)):
                _copy(source, out, size)
                source.readline(MAX_CHUNK_LINE)
    except BaseException:
        content.unlink()
        raise
    chunked.unlink()
    return content


def _copy(source: BinaryIO, out: BinaryIO, size: int) -> None:
    while size:
        piece = source.read(min(size, _PIECE))
        if not piece:
            raise ApiError("IncompleteBody", "the body ends within a chunk")
        out.write(piece)
        size -= len(piece)


def _chunk_size(line: bytes) -> int:
    word = line.split(b";")[0].strip()
    if not _HEX.fullmatch(word):
        raise ApiError("InvalidRequest", "the body is not aws-chunked as it says")
    return int(word, 16)


def check_sum(content: Path, expected: str | None) -> None:
    """BadDigest unless the CRC32, in base64, is the one that was told, if one was."""
    if expected is None:
        return
    total = 0
    with content.open("rb") as source:
        while piece := source.read(1 << 20):
            total = zlib.crc32(piece, total)
    if b64encode(total.to_bytes(4, "big")).decode() != expected:
        raise ApiError("BadDigest", "The CRC32 you specified did not match what was received.")
