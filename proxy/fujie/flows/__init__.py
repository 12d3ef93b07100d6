"""Use cases, one short file each: who asks, what is needed, decide, evidence, act, answer."""
