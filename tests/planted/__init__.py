"""Bugs that are planted on purpose, one at a time: simulation, crashes or tests have to find each."""
