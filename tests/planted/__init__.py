"""Bugs that are planted on purpose, one at a time: simulation or crash enumeration has to find each."""
