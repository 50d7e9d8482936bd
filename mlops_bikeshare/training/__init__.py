"""From a table of features to a judged candidate: split, sample, fit, calibrate, evaluate."""
