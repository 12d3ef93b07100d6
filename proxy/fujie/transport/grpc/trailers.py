"""What the details of a status are called on the wire: apart from what writes them, so that a client that reads them
needs none of the server's flows (80 ms of imports)."""

from typing import Final

DOMAIN: Final = "fujie.dev"
"""Of every ErrorInfo of ours (AIP-193): reasons of others come under other domains."""

DETAILS_KEY: Final = "grpc-status-details-bin"
"""Trailing metadata that holds a google.rpc.Status."""
