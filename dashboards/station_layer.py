"""Stations on a folium map: fast for thousands, clickable, drawn without the internet.

Input    a frame with lat, lon, name and a shade per station_id (see dashboards/risk).
Output   `ground`: the map itself, which stays; `dots`: the feature group that streamlit-folium
         exchanges on it, so that a new horizon keeps zoom and place.
Method   one canvas of circle markers from a compact array: a folium object or a GeoJSON feature
         per station costs 5 to 30 times as much. streamlit-folium reports a click 250 ms late
         (its debounce); the layer hands it the very same value at once instead.
"""

import json
from typing import TYPE_CHECKING

import folium
from folium.elements import MacroElement
from folium.template import Template

from dashboards.launch import LEAFLET_URL
from dashboards.risk import Palette, radius

if TYPE_CHECKING:
    import pandas as pd

OSM_URL = "https://tile.openstreetmap.org/{z}/{x}/{y}.png"
OSM_CREDIT = '© <a href="https://www.openstreetmap.org/copyright">OpenStreetMap</a> contributors'
RETURNED = "last_active_drawing"
_MANY = 1000


class _Dots(MacroElement):  # type: ignore[misc]
    """Circle markers in their parent feature group."""

    _template = Template("""
{% macro script(this, kwargs) %}
(function (group, stations, styles, look) {
  window.feature_group = [];
  const map = map_div;
  map.getContainer().style.background = look.ground;
  map.stationCanvas = map.stationCanvas || L.canvas({padding: 0.3, tolerance: 5});
  const ring = function (dot) {
    if (map.stationRing) map.stationRing.remove();
    map.stationRing = L.circleMarker(dot.getLatLng(), {
      radius: dot.getRadius() + 5, color: look.ink, weight: 3, fill: false, interactive: false,
      renderer: map.stationCanvas}).addTo(map);
  };
  if (map.stationRing) map.stationRing.remove();
  for (const [id, lat, lon, name, about, style] of stations) {
    const dot = L.circleMarker([lat, lon], {renderer: map.stationCanvas, weight: 1,
      color: look.outline, fillOpacity: 0.95, fillColor: styles[style][0],
      radius: styles[style][1]});
    dot.feature = {type: "Feature", properties: {station_id: id}};
    dot.label = [name, about];
    group.addLayer(dot);
    if (id === look.chosen) { ring(dot); map.panInside(dot.getLatLng(), {padding: [40, 40]}); }
  }
  group.bindTooltip(function (dot) {
    const box = document.createElement("div"), title = document.createElement("b");
    title.textContent = dot.label[0];
    box.append(title, document.createElement("br"), dot.label[1]);
    return box;
  });
  group.on("click", function (event) {
    ring(event.layer);
    const known = window.__GLOBAL_DATA__, value = event.layer.toGeoJSON();
    known.last_active_drawing = value;
    known.previous_data = {last_active_drawing: value};
    window.Streamlit.setComponentValue(known.previous_data);
  });
})({{ this._parent.get_name() }}, {{ this.stations }}, {{ this.styles }}, {{ this.look }});
{% endmacro %}
""")

    def __init__(self, stations: str, styles: str, look: str) -> None:
        super().__init__()
        self._name = "StationDots"
        self.stations, self.styles, self.look = stations, styles, look


def ground(placed: "pd.DataFrame", *, street_tiles: bool) -> folium.Map:
    """The map below the dots, fitted to the stations; plain unless street tiles are asked for."""
    tiles = folium.TileLayer(OSM_URL, attr=OSM_CREDIT) if street_tiles else None
    chart = folium.Map(
        tiles=tiles, prefer_canvas=True, control_scale=True, zoom_snap=0.25, max_zoom=19
    )
    chart.default_js = [("leaflet", f"{LEAFLET_URL}/leaflet.js")]
    chart.default_css = [("leaflet_css", f"{LEAFLET_URL}/leaflet.css")]
    south_west = placed[["lat", "lon"]].min().tolist()
    north_east = placed[["lat", "lon"]].max().tolist()
    chart.fit_bounds([south_west, north_east], padding=(18, 18))
    return chart


def dots(placed: "pd.DataFrame", palette: Palette, *, chosen: str | None) -> folium.FeatureGroup:
    """The stations of `placed` (station_id index; lat, lon, name, about, shade), riskiest on top.

    `chosen` gets a ring.
    """
    shades = sorted(placed["shade"].unique())
    smaller = 0.7 if len(placed) > _MANY else 1.0
    styles = [(palette.fill(shade), round(radius(shade) * smaller, 1)) for shade in shades]
    style = placed["shade"].map({shade: i for i, shade in enumerate(shades)})
    ordered = placed.assign(style=style).sort_values("risk", na_position="first")
    columns = ["lat", "lon", "name", "about", "style"]
    rows = ordered[columns].reset_index().to_numpy().tolist()
    look = {
        "ground": palette.ground,
        "outline": palette.outline,
        "ink": palette.ink,
        "chosen": chosen,
    }
    group = folium.FeatureGroup(name="stations")
    group.add_child(_Dots(_json(rows), _json(styles), _json(look)))
    return group


def clicked(value: object) -> str | None:
    """The station_id in what streamlit-folium returned; None before any click."""
    drawing = value.get(RETURNED) if isinstance(value, dict) else None
    return drawing["properties"]["station_id"] if drawing else None


def _json(value: object) -> str:
    """JSON that cannot close the script element it is put in."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
