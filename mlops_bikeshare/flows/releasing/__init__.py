"""A promotion's journal, its steps, and what is looked at while it stands."""
