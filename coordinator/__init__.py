"""The saga coordinator. Imports nothing, so that a client pays only for what it uses."""
