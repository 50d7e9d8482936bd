"""Streamlit's server, with the libraries of the pages imported while it starts.

The first visitor would otherwise wait for them: pandas, DuckDB, sqlglot, Altair and folium take
longer to import than the page takes to draw. streamlit_folium is not among them: a component that
is imported before the server runs is not served.

Streamlit collects garbage after every run of a script, and nobody is answered while it does. What
the libraries brought is there to stay, so the collector no longer looks at it.
"""

import gc
import importlib
import sys
import threading

_LIBRARIES = (
    "pandas",
    "duckdb",
    "sqlglot",
    "altair",
    "folium",
    "dashboards.screens.city_map",
    "dashboards.screens.top",
    "mlops_bikeshare.lake.duckdb",
    "mlops_bikeshare.monitoring.sqlite",
)


def main() -> None:
    """`python -m dashboards.serve APP OPTIONS…`, as `streamlit run` takes them."""
    from streamlit.web import cli

    threading.Thread(target=_import_all, name="imports", daemon=True).start()
    sys.argv = ["streamlit", "run", *sys.argv[1:]]
    cli.main()


def _import_all() -> None:
    for name in _LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    main()
