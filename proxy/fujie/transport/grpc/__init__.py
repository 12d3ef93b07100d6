"""The gRPC edge: wire to model and back, one status per outcome, one place where exceptions end."""
