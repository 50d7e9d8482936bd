"""A screencast of the real pages: what Chromium painted while they were driven, as animated WebP.

Chromium sends a frame whenever it paints; a frame that was held is shown long enough to be read.
"""

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page

from tests.browser.driven import CityMap

SIZE = {"width": 1000, "height": 720}
READ_MS, MOST_MS, LEAST_MS = 1600, 600, 60


class Screencast:
    """The frames of a page from now on."""

    def __init__(self, page: Page) -> None:
        self._frames: list[tuple[float, bytes]] = []
        self._held: set[int] = set()
        self._session = page.context.new_cdp_session(page)
        self._session.on("Page.screencastFrame", self._keep)
        size = {"maxWidth": SIZE["width"], "maxHeight": SIZE["height"]}
        self._session.send("Page.startScreencast", {"format": "jpeg", "quality": 85, **size})

    def _keep(self, event: dict[str, Any]) -> None:
        at = float(event["metadata"]["timestamp"])
        self._frames.append((at, base64.b64decode(event["data"])))
        self._session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

    def hold(self) -> None:
        """Let a viewer read what is on the screen now."""
        self._held.add(len(self._frames) - 1)

    def write(self, path: Path) -> int:
        """End it and write it; the number of frames."""
        self._session.send("Page.stopScreencast")
        frames = sorted(enumerate(self._frames), key=lambda frame: frame[1][0])
        times = [at for _, (at, _) in frames]
        waits = [
            1000 * (after - at) for at, after in zip(times, [*times[1:], times[-1]], strict=True)
        ]
        shown = [
            READ_MS if number in self._held else round(min(max(wait, LEAST_MS), MOST_MS))
            for (number, _), wait in zip(frames, waits, strict=True)
        ]
        first, *rest = (Image.open(io.BytesIO(picture)) for _, (_, picture) in frames)
        first.save(
            path, save_all=True, append_images=rest, duration=shown, loop=0, quality=55, method=4
        )
        return len(frames)


def tour(seen: CityMap, url: str, path: Path) -> int:
    """The map, a station, another horizon, the ranking and the model's health."""
    page = seen.page
    page.set_viewport_size(SIZE)  # type: ignore[arg-type]
    seen.open(url)
    seen.dots()
    seen.wait_until_drawn()
    cast = Screencast(page)
    station = seen.apart()
    seen.click(station)
    seen.wait_for_station(station)
    seen.wait_until_drawn()
    cast.hold()
    before = seen.colours()
    seen.horizon(60)
    seen.wait_for_other_colours(before)
    seen.wait_until_drawn()
    cast.hold()
    for title in ("Top-N", "Model Health", "System Health"):
        page.get_by_role("link", name=title).click()
        page.get_by_role("heading", name=title, exact=True).wait_for()
        seen.wait_until_drawn()
        cast.hold()
    return cast.write(path)
