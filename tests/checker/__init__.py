"""Judges what happened from outside: ledgers, client history and API reads against the invariants."""
