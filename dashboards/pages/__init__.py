"""Pages: each a function that draws with Streamlit what `dashboards.readings` gave."""
