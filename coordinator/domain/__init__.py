"""The rules of sagas: pure values and functions. No clock, no chance, no I/O."""
