"""What each command does. Loaded only when it is called: here gRPC and the rest may be imported."""
