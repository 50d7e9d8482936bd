import json

import pandas as pd
from streamlit_folium import generate_leaflet_string

from dashboards.readings.choosing import OSM_URL
from dashboards.risk import PALETTES
from dashboards.station_layer import clicked, dots, ground, layer


def stations(name: str = "Quay") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "lat": [42.1, 42.3],
            "lon": [-71.2, -71.1],
            "name": [name, "Gate"],
            "p_bikeout": [0.9, 0.004],
            "p_dockout": [0.0, float("nan")],
            "risk": [0.9, 0.1],
            "shade": ["bikeout-4", "low"],
            "num_bikes_available": [1, 7],
            "num_docks_available": [14.0, float("nan")],
            "capacity": [15, 20],
        },
        index=pd.Index(["001", "002"], name="station_id"),
    )


def script(frame: pd.DataFrame, chosen: str | None = None, *, heat: bool = False) -> str:
    sent = layer(frame, PALETTES["light"], heat=heat)
    group = dots(sent, PALETTES["light"], chosen=chosen, horizon_min=30)
    group.add_to(ground(frame, street_tiles=None))
    group._id = "feature_group_0"
    return str(generate_leaflet_string(group, base_id="feature_group_0"))


def test_the_map_asks_nobody_else_unless_street_tiles_are_wanted() -> None:
    plain = ground(stations(), street_tiles=None)
    links = [url for _, url in [*plain.default_js, *plain.default_css]]
    assert all(url.startswith("/app/static/") for url in links)
    assert "://" not in generate_leaflet_string(plain)
    streets = ground(stations(), street_tiles=OSM_URL)
    assert "openstreetmap.org/copyright" in generate_leaflet_string(streets)


def test_the_riskiest_dots_are_drawn_last_and_so_on_top() -> None:
    text = script(stations())
    assert text.index('["002"') < text.index('["001"')


def test_the_same_stations_give_the_same_script_so_that_nothing_is_sent_again() -> None:
    assert script(stations()) == script(stations())
    assert script(stations()) != script(stations(), chosen="001")


def test_places_and_chances_are_sent_as_small_numbers() -> None:
    text = script(stations())
    assert '["002",20000,10000,"Gate",0.5,-1,' in text
    assert '["001",0,0,"Quay",90,0,' in text
    assert ",1,14,15]" in text
    assert ",7,-1,20]" in text


def test_heat_lies_below_the_dots_that_are_at_risk() -> None:
    assert '"heat":true' in script(stations(), heat=True)
    assert '"heat":false' in script(stations())
    styles = layer(stations(), PALETTES["light"]).styles
    assert styles.endswith(",0]]")


def test_heat_is_of_the_stockout_that_is_shown_and_not_of_the_likelier_one() -> None:
    docks = stations().assign(p_dockout=[0.3, 0.1], shade=["dockout-1", "low"])
    (weak,), (strong,) = (
        [heat for _, _, heat in json.loads(layer(rows, PALETTES["light"]).styles) if heat]
        for rows in (docks, stations())
    )
    assert 0 < weak < strong < 0.3


def test_a_city_without_dots_after_a_filter_is_an_empty_layer() -> None:
    assert layer(stations().iloc[:0], PALETTES["light"]).stations == "[]"


def test_a_stations_name_cannot_end_the_script() -> None:
    assert "</script" not in script(stations("</script><script>alert(1)</script>"))


def test_a_click_is_the_station_and_no_click_is_none() -> None:
    value = {"last_active_drawing": {"type": "Feature", "properties": {"station_id": "007"}}}
    assert clicked(value) == "007"
    assert clicked({"last_active_drawing": None}) is None
    assert clicked(None) is None
