"""A seeded bike-share city that looks like a recording.

city (layout) → demand (wanted trips) and weather → engine (what happens, with operations) → feed
(what the feed shows) → simulate (the recording); compare and document hold it against real cities.
"""

from mlops_bikeshare.sources.simulator.simulate import SimulatedRecording, simulate

__all__ = ["SimulatedRecording", "simulate"]
