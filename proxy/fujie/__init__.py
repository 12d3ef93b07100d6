"""fujie (符节): a policy-as-code gate for personal data.

The map, and the arrows between packages (`a -> b`: a imports b; checked by tests and by import-linter):

    model                                       the words; imports nothing of ours
    policy     -> model                         policy text to a checked, digest-named bundle
    decision   -> policy, model                 facts, decide, mask, explain
    audit      -> model                         canonical entries, Merkle tree, checkpoints, verify
    ports      -> audit, model                  what the edges must offer
    flows      -> ports, decision, audit, policy, model      one file per use case
    adapters   -> ports, audit, model, v1       stores, ledger, log, identity, clock
    transport  -> flows, ports, model, v1       gRPC, HTTP
    app        -> everything                    settings, wiring, lifecycle, command line

`model`, `policy`, `decision` and `audit` are pure: values in, values out, no I/O, clock or randomness.
Read first: `decision/decide.py`, `flows/lookup.py`, `app/wire.py`.
"""
