"""Traces and metrics for an OpenTelemetry collector.

`environment` says what is asked for; only if something is, `library` is imported, and with it OpenTelemetry.
"""
