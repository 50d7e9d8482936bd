import gc
from pathlib import Path

import pytest

from dashboards import launch, serve
from dashboards.launch import APP, command, place_leaflet
from mlops_bikeshare.domain.errors import SettingsError


def test_the_command_serves_this_machine_only_and_tells_nobody() -> None:
    words = command(port=8600)
    assert str(APP) in words
    assert APP.is_file()
    for option in (
        "--server.port=8600",
        "--server.address=127.0.0.1",
        "--server.headless=true",
        "--server.fileWatcherType=none",
        "--server.enableWebsocketCompression=true",
        "--client.showSidebarNavigation=false",
        "--server.enableStaticServing=true",
        "--browser.gatherUsageStats=false",
    ):
        assert option in words
    assert "--" not in words


def test_a_workspace_is_handed_to_the_app_behind_two_dashes() -> None:
    assert command(port=8600, workspace="demo")[-3:] == ["--", "--workspace", "demo"]


def test_leaflet_comes_from_the_installed_package_and_is_copied_once(tmp_path: Path) -> None:
    place_leaflet(tmp_path / "static")
    script = tmp_path / "static" / "leaflet.js"
    assert "Leaflet 1.9" in script.read_text(encoding="utf-8")[:200]
    assert (tmp_path / "static" / "leaflet.css").is_file()
    script.write_text("kept")
    place_leaflet(tmp_path / "static")
    assert script.read_text() == "kept"


def test_without_the_package_the_message_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_PACKAGE", "no_such_leaflet_package")
    with pytest.raises(SettingsError, match="make setup"):
        place_leaflet(tmp_path / "static")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "static").write_text("a file, not a folder")
    with pytest.raises(SettingsError, match="cannot copy Leaflet"):
        place_leaflet(tmp_path / "static")


def test_what_the_libraries_brought_is_not_looked_at_after_every_run_of_a_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serve, "_LIBRARIES", ("json",))
    try:
        serve._import_all()
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
