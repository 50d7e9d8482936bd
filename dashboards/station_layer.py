"""Stations on a folium map: fast for thousands, clickable, drawn without the internet.

Input    a frame with lat, lon, name, counts now, capacity, both chances, risk and shade (risk.py)
         per station_id.
Output   `ground`: the map itself, which stays; `layer`: the stations as they are sent; `dots`: the
         feature group that streamlit-folium exchanges, so that a new horizon keeps zoom and place.
Method   one canvas of circle markers from a compact array: a folium object or a GeoJSON feature
         per station costs 5 to 30 times as much. Places go as hundred-thousandths of a degree from
         the south-west corner, chances as percent. streamlit-folium reports a click 250 ms late
         (its debounce); the layer hands it the very same value at once instead, and shows what is
         known of the station on a card in the map, so that nobody waits for the server. The heat
         layer is wide, faint circles below the dots: no plugin, nothing from a CDN.
"""

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import folium
from folium.elements import MacroElement
from folium.template import Template

from dashboards.launch import LEAFLET_URL
from dashboards.risk import LOW, UNKNOWN, Palette, radius
from mlops_bikeshare.domain.targets import BIKEOUT, DOCKOUT

if TYPE_CHECKING:
    import pandas as pd

OSM_CREDIT = '© <a href="https://www.openstreetmap.org/copyright">OpenStreetMap</a> contributors'
RETURNED = "last_active_drawing"
_MANY = 1000
_PER_DEGREE = 1e5
_NEARLY = 0.5
_FAINTEST, _HEAT_STEP = 0.08, 0.045
_COUNTED = ("num_bikes_available", "num_docks_available", "capacity")


@dataclass(frozen=True, slots=True)
class Layer:
    """Stations and looks as JSON."""

    stations: str
    styles: str
    corner: tuple[float, float]
    heat: bool


class _Dots(MacroElement):  # type: ignore[misc]
    """Circle markers in their parent feature group."""

    _template = Template("""
{% macro script(this, kwargs) %}
(function (group, stations, styles, look) {
  window.feature_group = [];
  const map = map_div;
  map.getContainer().style.background = look.ground;
  map.getPane("tilePane").style.filter = look.tiles;
  map.stationCanvas = map.stationCanvas || L.canvas({padding: 0.3, tolerance: 5});
  const ring = function (dot) {
    if (map.stationRing) map.stationRing.remove();
    map.stationRing = L.circleMarker(dot.getLatLng(), {
      radius: dot.getRadius() + 5, color: look.ink, weight: 3, fill: false, interactive: false,
      renderer: map.stationCanvas}).addTo(map);
  };
  const said = function (c) {
    return c < 0 ? "unknown" : c === 0.5 ? "<1%" : c === 99.5 ? ">99%" : c + "%";
  };
  const count = (n, one, many) => n < 0 ? many + " unknown" : n + " " + (n === 1 ? one : many);
  const tell = function (dot) {
    if (!map.stationCard) {
      const card = L.DomUtil.create("div", "station-card"), style = card.style;
      L.DomEvent.disableClickPropagation(card);
      card.setAttribute("role", "status");
      style.cssText = "padding:6px 10px;border-radius:6px;max-width:230px;"
        + "font:13px/1.45 sans-serif";
      map.stationCard = new L.Control({position: "topright"});
      map.stationCard.onAdd = () => card;
      map.stationCard.addTo(map);
    }
    const card = map.stationCard.getContainer(), title = document.createElement("b");
    card.style.background = look.ground;
    card.style.color = look.ink;
    card.style.border = "1px solid " + look.outline;
    title.textContent = dot.label[0];
    const lines = [count(dot.counts[0], "bike", "bikes") + ", "
        + count(dot.counts[1], "dock free", "docks free"),
      "capacity " + (dot.counts[2] < 0 ? "unknown" : dot.counts[2]),
      "in " + look.horizon_min + " min: " + dot.label[1]];
    card.replaceChildren(title, ...lines.flatMap(l => [document.createElement("br"), l]));
    card.dataset.station = dot.feature.properties.station_id;
    map.panInside(dot.getLatLng(), {paddingTopLeft: [40, card.offsetHeight + 30],
      paddingBottomRight: [40, 40], animate: false});
  };
  if (!look.chosen && map.stationCard) { map.stationCard.remove(); map.stationCard = null; }
  if (map.stationRing) map.stationRing.remove();
  const at = (up, right) => [look.corner[0] + up / 1e5, look.corner[1] + right / 1e5];
  if (look.heat) {
    for (const [, up, right, , , , style] of stations) {
      if (styles[style][2]) group.addLayer(L.circleMarker(at(up, right), {
        renderer: map.stationCanvas, stroke: false, interactive: false, radius: 30,
        fillColor: styles[style][0], fillOpacity: styles[style][2]}));
    }
  }
  for (const [id, up, right, name, bikes, docks, style, ...counts] of stations) {
    const dot = L.circleMarker(at(up, right), {renderer: map.stationCanvas, weight: 1,
      color: look.outline, fillOpacity: 0.95, fillColor: styles[style][0],
      radius: styles[style][1]});
    dot.feature = {type: "Feature", properties: {station_id: id}};
    dot.label = [name, "out of bikes " + said(bikes) + ", out of docks " + said(docks)];
    dot.counts = counts;
    group.addLayer(dot);
    if (id === look.chosen) {
      ring(dot);
      tell(dot);
    }
  }
  group.bindTooltip(function (dot) {
    const box = document.createElement("div"), title = document.createElement("b");
    title.textContent = dot.label[0];
    box.append(title, document.createElement("br"), dot.label[1]);
    return box;
  });
  group.on("click", function (event) {
    ring(event.layer);
    tell(event.layer);
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

    def render(self, **_: object) -> None:
        """Nothing: the page of folium's own, which nobody sees, would compile all stations."""


def ground(placed: "pd.DataFrame", *, street_tiles: str | None) -> folium.Map:
    """The map below the dots, fitted to the stations; plain without an address of street tiles.

    Tiles that cannot be reached leave the plain ground.
    """
    tiles = folium.TileLayer(street_tiles, attr=OSM_CREDIT, opacity=0.6) if street_tiles else None
    chart = folium.Map(
        tiles=tiles, prefer_canvas=True, control_scale=True, zoom_snap=0.25, max_zoom=19
    )
    chart.default_js = [("leaflet", f"{LEAFLET_URL}/leaflet.js")]
    chart.default_css = [("leaflet_css", f"{LEAFLET_URL}/leaflet.css")]
    south_west = placed[["lat", "lon"]].min().tolist()
    north_east = placed[["lat", "lon"]].max().tolist()
    chart.fit_bounds([south_west, north_east], padding=(18, 18))
    return chart


def layer(placed: "pd.DataFrame", palette: Palette, *, heat: bool = False) -> Layer:
    """The stations of `placed` (station_id index), riskiest on top."""
    shades = sorted(placed["shade"].unique())
    smaller = 0.7 if len(placed) > _MANY else 1.0
    styles = [
        (palette.fill(shade), round(radius(shade) * smaller, 1), _heat(shade)) for shade in shades
    ]
    number = {shade: i for i, shade in enumerate(shades)}
    ordered = placed.sort_values("risk", na_position="first")
    south, west = (float(placed[axis].min()) if len(placed) else 0.0 for axis in ("lat", "lon"))
    rows = zip(
        ordered.index.astype(str),
        ((ordered["lat"] - south) * _PER_DEGREE).round().astype(int).tolist(),
        ((ordered["lon"] - west) * _PER_DEGREE).round().astype(int).tolist(),
        ordered["name"],
        map(_percent, ordered[BIKEOUT.probability].tolist()),
        map(_percent, ordered[DOCKOUT.probability].tolist()),
        ordered["shade"].map(number).tolist(),
        *(_whole(ordered[name]) for name in _COUNTED),
        strict=True,
    )
    return Layer(_json(list(rows)), _json(styles), (south, west), heat)


def _heat(shade: str) -> float:
    """How strongly a station colours what is around it, by the stockout that is shown."""
    if shade in {LOW, UNKNOWN}:
        return 0
    return round(_FAINTEST + _HEAT_STEP * int(shade.rsplit("-", maxsplit=1)[-1]), 3)


def dots(
    layer: Layer, palette: Palette, *, chosen: str | None, horizon_min: int
) -> folium.FeatureGroup:
    """The stations of a layer; `chosen` gets a ring and its card, which a click gives at once."""
    look = {
        "ground": palette.ground,
        "tiles": palette.tiles,
        "outline": palette.outline,
        "ink": palette.ink,
        "chosen": chosen,
        "corner": layer.corner,
        "heat": layer.heat,
        "horizon_min": horizon_min,
    }
    group = folium.FeatureGroup(name="stations")
    group.add_child(_Dots(layer.stations, layer.styles, _json(look)))
    return group


def clicked(value: object) -> str | None:
    """The station_id in what streamlit-folium returned; None before any click."""
    drawing = value.get(RETURNED) if isinstance(value, dict) else None
    return drawing["properties"]["station_id"] if drawing else None


def _percent(p: float) -> float:
    """Whole percent as `wording.chance` rounds: -1 unknown, 0.5 below one, 99.5 nearly certain."""
    if p is None or math.isnan(p):
        return -1
    if 0 < p < 0.01:  # noqa: PLR2004 - the least that is said
        return _NEARLY
    return 100 - _NEARLY if 0.99 < p < 1 else round(p * 100)  # noqa: PLR2004 - the most


def _whole(counts: "pd.Series[float]") -> list[int]:
    """Counts; -1 unknown."""
    return counts.astype("Float64").fillna(-1).astype(int).tolist()


def _json(value: object) -> str:
    """JSON that cannot close the script element it is put in."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
