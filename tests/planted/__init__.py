"""Bugs that are planted on purpose, one at a time: simulation, crash enumeration or a file of tests has to find
each."""
