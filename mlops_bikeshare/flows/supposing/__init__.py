"""What is supposed in a what-if, and the features that follow from it."""
