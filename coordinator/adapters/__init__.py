"""The ports kept for real: journals, participants over gRPC, definition files, clock."""
