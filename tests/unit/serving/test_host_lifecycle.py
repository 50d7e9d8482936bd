import asyncio
from pathlib import Path

import pytest

from mlops_bikeshare.serving.host.fleet import Fleet
from mlops_bikeshare.serving.host.lifecycle import Lifecycle
from mlops_bikeshare.serving.host.objects import ObjectStore
from mlops_bikeshare.serving.host.state import HostState


def test_an_endpoint_whose_start_fails_in_any_way_is_failed_and_not_creating_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: Fleet) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Fleet, "start", full)
    state = HostState(tmp_path / "host.db")
    state.put("endpoint-config", "c", {"ProductionVariants": []})

    async def created() -> dict[str, object]:
        host = Lifecycle(state, store=ObjectStore(tmp_path / "s3"), folder=tmp_path)
        host.create("e", "c")
        await asyncio.gather(*host._tasks)
        return host.get("e")

    document = asyncio.run(created())
    state.close()
    assert document["status"] == "Failed"
    assert "config c could not be started (OSError)" in str(document["reason"])
