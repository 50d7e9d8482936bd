"""Features and labels: one kernel for history (offline) and for the row at dt (online)."""
