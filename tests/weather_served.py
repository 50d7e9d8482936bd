"""A small Meteostat on 127.0.0.1: its own file formats, and whatever goes wrong with them."""

import gzip
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NOON = datetime(2021, 9, 1, 12, tzinfo=UTC)
HEAD = "year,month,day,hour,temp,temp_source,rhum,rhum_source,prcp,prcp_source,wspd,wspd_source"


@dataclass
class Files:
    """What the server has, by path; how it behaves; what it was asked."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    mode: str = "well"
    asked: list[tuple[str, str]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def hours(self, station: str, *rows: str, year: int = 2021) -> None:
        """The file of a station and year."""
        text = "\n".join([HEAD, *rows]) + "\n"
        self.bodies[f"/hourly/{year}/{station}.csv.gz"] = gzip.compress(text.encode())

    def stations(self, folder: Path, **places: tuple[float, float]) -> None:
        """The station database."""
        path = folder / "made.db"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE stations (id TEXT, latitude REAL, longitude REAL)")
            rows = [(name, lat, lon) for name, (lat, lon) in places.items()]
            database.executemany("INSERT INTO stations VALUES (?, ?, ?)", rows)
            database.commit()
        self.bodies["/stations.db"] = path.read_bytes()


def row(
    at: datetime, temp: object, *, rhum: object = 60, prcp: object = 0.0, wspd: object = 9.0
) -> str:
    """An hour as the files have it."""
    when = f"{at.year},{at.month},{at.day},{at.hour}"
    return f"{when},{temp},metar,{rhum},metar,{prcp},metar,{wspd},metar"


def day(temp: float, *, until: datetime = NOON, hours: int = 30) -> list[str]:
    """Hours up to `until`."""
    return [row(until - timedelta(hours=i), temp) for i in reversed(range(hours))]


@contextmanager
def served(files: Files) -> Iterator[str]:
    """The server's address while it runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.asked.append((self.path, self.headers["User-Agent"]))
            if files.mode == "slow" and self.path.startswith("/hourly"):
                files.released.wait(30)
            body = files.bodies.get(self.path)
            if files.mode == "garbage":
                body = b"<html>maintenance</html>"
            if files.mode == "empty":
                body = b""
            self.send_response(503 if files.mode == "dead" else 404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if files.mode != "dead":
                self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        files.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
