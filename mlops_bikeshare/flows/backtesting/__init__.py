"""A recording as days of rows, and the reports on them."""
