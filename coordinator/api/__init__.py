"""The gRPC edge: translates between protos and the domain, and delegates."""
