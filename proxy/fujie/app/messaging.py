"""The section `messaging`: which companies carry our messages, in which order, and how fast.

Secrets are files. A template may name no number in a URL: there is no setting that allows it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fujie.app.callbacks import Callback, Replies
from fujie.app.section import Section, Text, is_safe_web_address
from fujie.app.smppsection import SMPPLine, check_account

if TYPE_CHECKING:  # who only reads settings needs no HTTP client (80 ms) and no engine (200 ms)
    from fujie.adapters.providers.http_template import Template
    from fujie.flows.gate import Confirmation

Encoding = Literal["json", "form", "text"]


class HTTPAnswer(Section):
    """What a provider answers to a message."""

    id: str = Field(default="", description="Path of the message's id in the JSON answer (`data.0.id`).")
    code: str = Field(
        default="",
        description="Path of the code in the JSON answer; without it the HTTP status is the code.",
    )
    accepted: tuple[Text, ...] = Field(description="Codes of what it took.")
    refused: tuple[Text, ...] = Field(default=(), description="Codes of what it will never take.")
    retry: tuple[Text, ...] = Field(
        default=(),
        description="Codes of what it certainly did not take, this time. What is not listed is in doubt,"
        " and never sent again.",
    )
    opted_out: tuple[Text, ...] = Field(default=(), description="Codes of who opted out there.")


class HTTPCallback(Section):
    """What a provider posts to us: receipts, and the customers' replies."""

    encoding: Literal["json", "form"] = Field(default="json", description="How the body is written.")
    items: str = Field(
        default="", description="Path of the array of items; without it the body is one, or one item."
    )
    phone: Text = Field(description="Path of the customer's number in an item.")
    id: str = Field(default="", description="Path of the message's id.")
    intent: str = Field(default="", description="Path of what `{intent}` was.")
    status: str = Field(default="", description="Path of what became of the message.")
    code: str = Field(default="", description="Path of the code of a failure; without it the status.")
    delivered: tuple[Text, ...] = Field(default=(), description="Statuses of what arrived.")
    failed: tuple[Text, ...] = Field(default=(), description="Statuses of what will not arrive.")
    opted_out: tuple[Text, ...] = Field(
        default=(), description="Statuses or codes of failures because the customer opted out."
    )
    text: str = Field(default="", description="Path of a reply's text; an item that has it is a reply.")
    reply_id: str = Field(
        default="", description="Path of a reply's id; without it one that is repeated counts as a new one."
    )
    signature: str = Field(default="", description="Path of the signature that was replied to.")
    answer: str = Field(default="", description="What the provider wants to hear.")


class HTTPProvider(Section):
    """A provider with a plain HTTP interface."""

    method: Literal["POST", "PUT"] = Field(default="POST", description="Method.")
    headers: Mapping[str, Text] = Field(
        default={}, description="Headers; `{secret}` stands for the content of `secret_file`."
    )
    encoding: Encoding = Field(default="json", description="How `body` is written.")
    body: Text = Field(
        description="JSON, a form or text with `{phone}` (E.164), `{national}` (without `+86`), `{text}`, `{signature}`,"
        " `{intent}` (our id), `{code}` (of a template), `{params}` and `{secret}`."
    )
    answer: HTTPAnswer = Field(description="How answers are read.")
    callback: HTTPCallback | None = Field(default=None, description="How callbacks are read.")


_COMMON = frozenset(
    {
        "kind",
        "processor",
        "rate_per_second",
        "concurrency",
        "timeout_seconds",
        "confirms_stop",
        "segment_price",
    }
)
_NEEDED = {
    "aliyun": frozenset({"processor", "account", "secret_file"}),
    "tencent": frozenset({"processor", "account", "secret_file", "app_id"}),
    "twilio": frozenset({"processor", "account", "secret_file", "sender"}),
    "http": frozenset({"processor", "endpoint", "http"}),
    "smpp": frozenset({"processor", "account", "secret_file", "sender", "smpp"}),
    "outbox": frozenset({"file"}),
}
_ALLOWED = {
    "aliyun": frozenset({"endpoint"}),
    "tencent": frozenset({"endpoint", "region", "poll"}),
    "twilio": frozenset({"endpoint"}),
    "http": frozenset({"secret_file"}),
    "smpp": frozenset(),
    "outbox": frozenset(),
}


class ProviderSettings(Section):
    """One way by which messages go out."""

    kind: Literal["aliyun", "tencent", "twilio", "http", "smpp", "outbox"] = Field(
        description="What it is. `outbox` sends nothing: it writes messages to a local file."
    )
    processor: str = Field(
        default="",
        description="Id of the company in the register of processors; without an agreement it is not used.",
    )
    rate_per_second: float = Field(
        default=50.0, gt=0, le=10_000, description="Messages per second of each worker."
    )
    concurrency: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Calls at the same time, of each worker; of smpp, submissions of a window each.",
    )
    timeout_seconds: float = Field(
        default=4.0,
        gt=0,
        le=30,
        description="How long a submission may take in all; an opt-out waits so long for one that is on its way.",
    )
    segment_price: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="What one segment costs, in thousandths of the currency that you count in (45: 0.045); with it the"
        " policies know `message.cost`.",
    )
    confirms_stop: bool | None = Field(
        default=None,
        description='It confirms a customer\'s "stop" by itself, so we do not; left out: twilio does, others do not.',
    )
    endpoint: Text | None = Field(
        default=None, description="Address: https, or http on this machine; without it the provider's own."
    )
    account: Text | None = Field(
        default=None,
        description="AccessKey id (aliyun), SecretId (tencent), Account SID (twilio), system_id (smpp).",
    )
    secret_file: Path | None = Field(
        default=None,
        description="File with what belongs to `account`, in one line: secret, key, auth token or password.",
    )
    region: Text = Field(default="ap-guangzhou", description="Region of the service (tencent).")
    app_id: Text | None = Field(default=None, description="SmsSdkAppId (tencent).")
    poll: bool = Field(
        default=False, description="Pull receipts and replies instead of having them pushed (tencent)."
    )
    sender: Text | None = Field(
        default=None,
        description="Number or name that messages come from (twilio, smpp), or Messaging Service SID (twilio).",
    )
    http: HTTPProvider | None = Field(default=None, description="The template of a plain HTTP interface.")
    smpp: SMPPLine | None = Field(default=None, description="The line to an SMSC.")
    file: Path | None = Field(
        default=None,
        description="File that the outbox appends to (JSON lines, mode 0600). It holds numbers and texts as they are.",
    )

    @model_validator(mode="after")
    def _is_of_its_kind(self) -> "ProviderSettings":
        needed = _NEEDED[self.kind]
        missing = sorted(name for name in needed if not getattr(self, name))
        if missing:
            raise PydanticCustomError("setting_missing", f"{self.kind} needs {', '.join(missing)}")
        # A worker gets the settings with every default written out: only what differs from it was said.
        said = {
            name for name, each in type(self).model_fields.items() if getattr(self, name) != each.default
        }
        odd = sorted(said - _COMMON - needed - _ALLOWED[self.kind])
        if odd:
            raise PydanticCustomError("setting_invalid", f"{self.kind} has no {', '.join(odd)}")
        if self.endpoint:
            self._check_address(self.endpoint)
        if self.smpp is not None:
            check_account(self.account or "", self.sender or "")
        if self.http is not None:
            from fujie.adapters.providers.http_template import flaws

            wrong = flaws(template_of(self, ""))
            if wrong:
                raise PydanticCustomError("setting_invalid", "; ".join(wrong))
        return self

    def _check_address(self, endpoint: str) -> None:
        if not is_safe_web_address(endpoint):
            raise PydanticCustomError(
                "setting_invalid", "endpoint is https (http on this machine), without user and fragment"
            )
        parts = urlsplit(endpoint)
        if self.kind != "http" and (parts.path.strip("/") or parts.query):
            raise PydanticCustomError("setting_invalid", "endpoint is scheme, host and port")


def template_of(settings: ProviderSettings, secret: str) -> "Template":
    """Return the template of a plain HTTP interface."""
    from fujie.adapters.providers.http_template import AnswerShape, CallbackShape, Template

    http = settings.http
    assert http is not None
    return Template(
        settings.endpoint or "",
        http.body,
        AnswerShape(**http.answer.model_dump()),
        CallbackShape(**(http.callback.model_dump() if http.callback else {})),
        http.method,
        http.encoding,
        tuple(http.headers.items()),
        secret,
    )


ProviderName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=32)]


class Messaging(Section):
    """How messages go out."""

    providers: Mapping[ProviderName, ProviderSettings] = Field(
        default={}, description="Providers by name, in order of preference."
    )
    callbacks: Mapping[ProviderName, Callback] = Field(
        default={}, description="Where providers call us, by name of the provider."
    )
    replies: Replies = Field(default_factory=Replies, description='What a customer\'s "stop" closes.')

    @property
    def confirmation(self) -> "Confirmation | None":
        """What confirms a "stop"; None when nothing does."""
        from fujie.flows.gate import Confirmation

        confirm = self.replies.confirm
        if confirm is None:
            return None
        texts = {"zh": confirm.zh, "en": confirm.en}
        silent = {
            name
            for name, each in self.providers.items()
            if (each.kind == "twilio" if each.confirms_stop is None else each.confirms_stop)
        }
        return Confirmation(
            {name: text for name, text in texts.items() if text}, confirm.signature, frozenset(silent)
        )

    @model_validator(mode="after")
    def _are_of_providers(self) -> "Messaging":
        if unknown := sorted(self.callbacks.keys() - self.providers.keys()):
            raise PydanticCustomError("setting_invalid", f"callbacks of no provider: {', '.join(unknown)}")
        return self
