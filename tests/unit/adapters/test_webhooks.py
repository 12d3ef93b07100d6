"""What is told is signed as the specification says, and only what we wrote verifies."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fujie.adapters.webhooks import Acknowledgement, body_of, read_secrets, signature
from fujie.model.errors import StartError
from fujie.model.notification import Notification

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WIPE = Notification(
    id="n" * 32,
    kind="principal.wipe_devices",
    subject="li.na",
    payload={"device": "laptop-7"},
    created_at=NOW,
    due_at=NOW,
)
GOOD = "whsec_" + base64.b64encode(b"k" * 32).decode()


def test_the_signature_is_that_of_the_specifications_own_example() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature((secret,), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_changed_byte_id_or_time_changes_the_signature() -> None:
    first = signature((b"k" * 32,), "a", 1, b"{}")
    others = [
        signature((b"k" * 32,), "a", 1, b"{ }"),
        signature((b"k" * 32,), "b", 1, b"{}"),
        signature((b"k" * 32,), "a", 2, b"{}"),
        signature((b"l" * 32,), "a", 1, b"{}"),
    ]
    assert len({first, *others}) == 5


def test_every_secret_signs_so_that_one_can_be_replaced() -> None:
    both = signature((b"k" * 32, b"l" * 32), "a", 1, b"{}").split(" ")
    assert both == [signature((each * 32,), "a", 1, b"{}") for each in (b"k", b"l")]


@pytest.mark.parametrize(
    "text",
    ["", "whsec_", "s3cr3t", GOOD.removeprefix("whsec_"), "whsec_!!!!", "whsec_" + "QQ==", GOOD + "\nx",
     "whsec_" + base64.b64encode(b"k" * 65).decode(), "whsec_é"],
)  # fmt: skip
def test_a_file_without_secrets_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret"
    path.write_text(text, "utf-8")
    with pytest.raises(StartError) as refused:
        read_secrets(path)
    assert refused.value.code == "NOTIFY_SECRET"
    assert not text or text not in str(refused.value).partition(": ")[2]


def test_a_missing_file_is_refused_and_a_good_one_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with pytest.raises(StartError):
        read_secrets(path)
    path.write_text(f"{GOOD}\n{GOOD}\n", "ascii")
    assert read_secrets(path) == (b"k" * 32, b"k" * 32)


def test_the_body_names_the_order_and_how_to_answer_it_and_is_the_same_every_time() -> None:
    answer = Acknowledgement("https://f.example.com/notifications/n/acknowledge", "t")
    body = body_of(WIPE, answer)
    assert body == body_of(WIPE, answer)
    assert json.loads(body) == {
        "type": "principal.wipe_devices",
        "timestamp": "2026-03-01T00:00:00+00:00",
        "data": {
            "id": "n" * 32,
            "subject": "li.na",
            "device": "laptop-7",
            "due_at": "2026-03-01T00:00:00+00:00",
            "acknowledge": {"url": answer.url, "token": "t"},
        },
    }
    assert "token" not in repr(answer)
