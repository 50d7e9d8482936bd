"""The pages: each a module whose `show` draws what `dashboards.readings` gave.

Not called `pages`: Streamlit would take a folder of that name beside app.py for an older kind of
pages, and a first visitor of /top would be shown an empty one.
"""
