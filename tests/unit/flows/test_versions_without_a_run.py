"""A version that somebody registered without a run is judged all the same."""

from mlops_bikeshare.flows import tracking


def test_what_would_go_into_a_run_that_is_not_there_stops_nobody() -> None:
    tracking.log_steps("", [("drift/PSI", 0.1, 0)])
    tracking.log_texts("", {"page.html": "<p>"}, folder="drift")
    tracking.log_pictures("", {"day": b"png"})
