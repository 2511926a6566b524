"""Runs sagas: makes each event durable, then acts on the commands that follow from it."""
