"""Policy text to a checked, digest-named bundle. `cel.py` is the only door to the CEL engine."""
