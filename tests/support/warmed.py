"""Compiles the policies that senders of these tests have: whoever is forked behind it has them."""

from support.house import bundle_of
from support.racing import LIMITED
from support.sending import NO_SENDING, POLICY

bundle_of()
for _policy in (POLICY, LIMITED):
    bundle_of({**NO_SENDING, "sending.yaml": _policy})
