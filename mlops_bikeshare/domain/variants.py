"""What the variants behind an endpoint are called.

A single variant is always `AllTraffic`: metrics go by the variant's name, and a name of its own for
every model would leave each with a series of its own. Two versions are `Baseline`, what was served
alone before, and `Candidate`.
"""

ALL_TRAFFIC = "AllTraffic"
BASELINE = "Baseline"
CANDIDATE = "Candidate"
