"""What the words mean: time, cities, targets, tables, reports. No I/O, no imports of ours."""
