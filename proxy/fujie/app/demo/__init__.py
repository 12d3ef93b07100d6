"""The demo: a store of synthetic customers, the real server, and real calls."""
