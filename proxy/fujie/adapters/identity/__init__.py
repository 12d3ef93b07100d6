"""Who calls, proven by a bearer token: JWTs of configured issuers, and fixed tokens for trying out."""
