"""The process that holds one model: reads requests from an inherited socket, answers in order.

Input    argv: file descriptor of the socket, model archive, empty folder to unpack it into, and
         `allow-pickle` where the host's owner trusts who made its models.
Output   first `{"ready": true}` or `{"ready": false, "reason": …}`, then one message per request:
         `{"id", "status", "content_type"}` and the body.

There is no address to guess or to leave behind: the socket is half of a pair. When the front is
gone, even by kill -9, the kernel closes its half and the watching thread ends this process,
whatever the model is doing.
"""

import os
import select
import socket
import sys
from pathlib import Path
from threading import Thread
from typing import Any

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.serving.archive import unpack
from mlops_bikeshare.serving.host.frames import pack, read


def main(descriptor: int, archive: Path, folder: Path, *, allow_pickle: bool) -> int:
    """Load, report, answer until the front hangs up."""
    connection = socket.socket(fileno=descriptor)
    Thread(target=_watch, args=(descriptor,), daemon=True).start()
    try:
        model = _load(archive, folder, allow_pickle=allow_pickle)
    except Exception as error:  # whatever a foreign model raises is the reason it cannot be served
        reason = str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
        connection.sendall(pack({"ready": False, "reason": reason[:900]}))
        return 1
    connection.sendall(pack({"ready": True}))
    requests = connection.makefile("rb")
    while True:
        try:
            header, body = read(requests)
        except (EOFError, OSError):
            return 0
        reply = model.answer(body, content_type=header["content_type"], accept=header["accept"])
        answer = {"id": header["id"], "status": reply.status, "content_type": reply.content_type}
        connection.sendall(pack(answer, reply.body))


def _load(archive: Path, folder: Path, *, allow_pickle: bool) -> Any:
    unpack(archive, folder, allow_pickle=allow_pickle, drop_compiled=True)
    import pyarrow as pa

    from mlops_bikeshare.serving.host.bodies import warm_up
    from mlops_bikeshare.serving.host.scoring import LoadedModel

    pa.set_cpu_count(1)
    model = LoadedModel.load(folder)
    warm_up()
    return model


def _watch(descriptor: int) -> None:
    front = select.poll()
    front.register(descriptor, 0)  # hanging up is told without being asked for
    front.poll()
    # The main thread may be deep in the model: leave without asking it.
    os._exit(0)


if __name__ == "__main__":
    trusted = "allow-pickle" in sys.argv[4:]
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), allow_pickle=trusted))
