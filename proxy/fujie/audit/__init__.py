"""The evidence log: canonical bytes of an entry, its Merkle tree, signed checkpoints, and their verification.

Everything here is pure: keys, nonces, times and file contents are arguments. It needs no policy engine, so an
auditor can run the verifier alone. Read in this order: `entry`, `tree`, `tiles`, `checkpoint`, `verify`.
"""
