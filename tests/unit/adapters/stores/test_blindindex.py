"""The digests of the blind index are those that the documentation tells others to make."""

import hashlib
import hmac
import re
from pathlib import Path

from fujie.adapters.stores.blindindex import last_four_digest, phone_digest

KEY = bytes(range(32))
PAGE = Path(__file__).parents[4] / "docs" / "operations.md"


def test_a_digest_never_changes() -> None:
    for digest, text in (
        (phone_digest(KEY, "+8613800138000"), "fujie.store_index.v1:phone:+8613800138000"),
        (last_four_digest(KEY, "0042"), "fujie.store_index.v1:last_four:0042"),
    ):
        assert digest == hmac.new(KEY, text.encode("ascii"), hashlib.sha256).hexdigest()
    assert (
        phone_digest(KEY, "+8613800138000")
        == "945e3992594974dc06c61781cd5cf8918105a462dfcac6f67722280a30666af3"
    )


def test_purposes_do_not_meet() -> None:
    assert phone_digest(KEY, "8000") != last_four_digest(KEY, "8000")


def test_the_program_of_the_documentation_makes_the_same(tmp_path: Path) -> None:
    [program] = re.findall(r"```python\n(import base64.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    from base64 import b64encode

    (tmp_path / "store_index.key").write_text(b64encode(KEY).decode() + "\n")
    names: dict[str, object] = {}
    exec(program.replace("keys/store_index.key", str(tmp_path / "store_index.key")), names)
    digest = names["digest"]
    assert callable(digest)
    assert digest("phone", "+8613800138000") == phone_digest(KEY, "+8613800138000")
    assert digest("last_four", "8000") == last_four_digest(KEY, "8000")
