"""Every reason that fujie itself can give, in one table: code, outcome, priority, text, law, remedy.

A code is also the metric label and the `ErrorInfo.reason`; it is never renamed or reused. Reasons
of a bundle start with `X_` or take a code from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class LocalizedText:
    """A text for people, in Chinese and English. Both or neither."""

    zh: str = ""
    en: str = ""


NO_TEXT = LocalizedText()
"""No text in either language."""


class Outcome(StrEnum):
    """What a reason means for the caller; the transport maps each to one gRPC status."""

    REFUSED = "refused"
    APPROVAL = "approval"
    LIMITED = "limited"
    INVALID = "invalid"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    UNAUTHENTICATED = "unauthenticated"
    UNAVAILABLE = "unavailable"
    UNIMPLEMENTED = "unimplemented"
    DEADLINE = "deadline"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class ReasonDefinition:
    """One row of the table. The lower `priority`, the earlier the reason comes; 0 to 1000."""

    code: str
    outcome: Outcome
    priority: int
    message: LocalizedText
    basis: tuple[str, ...] = ()
    remedy: LocalizedText = NO_TEXT


def _row(
    code: str,
    outcome: Outcome,
    priority: int,
    zh: str,
    en: str,
    *,
    basis: tuple[str, ...] = (),
    remedy: tuple[str, str] = ("", ""),
) -> ReasonDefinition:
    return ReasonDefinition(code, outcome, priority, LocalizedText(zh, en), basis, LocalizedText(*remedy))


_O = Outcome
_ROWS = (
    # Who calls.
    _row(
        "UNAUTHENTICATED",
        _O.UNAUTHENTICATED,
        0,
        "缺少有效的身份凭证。",
        "No valid credential was presented.",
        remedy=(
            "请在 authorization 元数据中附上有效的 Bearer 令牌。",
            "Send a valid bearer token in the `authorization` metadata.",
        ),
    ),
    _row(
        "TOKEN_INVALID",
        _O.UNAUTHENTICATED,
        0,
        "令牌无效。",
        "The token is not valid.",
        remedy=("请重新获取令牌。", "Obtain a new token."),
    ),
    _row(
        "TOKEN_EXPIRED",
        _O.UNAUTHENTICATED,
        0,
        "令牌已过期或尚未生效。",
        "The token has expired or is not valid yet.",
        remedy=("请重新获取令牌。", "Obtain a new token."),
    ),
    _row(
        "METADATA_REPEATED",
        _O.UNAUTHENTICATED,
        0,
        "安全相关的元数据重复出现。",
        "A security header was sent more than once.",
        remedy=("每个安全头只发送一次。", "Send each security header once."),
    ),
    _row(
        "WORKLOAD_INVALID",
        _O.UNAUTHENTICATED,
        0,
        "客户端证书未能证明本信任域内的唯一工作负载。",
        "The client certificate does not prove exactly one workload of the trust domain.",
        remedy=(
            "请使用仅含一个 SPIFFE URI SAN 的证书。",
            "Use a certificate with exactly one URI SAN, a SPIFFE id of the trust domain.",
        ),
    ),
    _row(
        "PRINCIPAL_UNKNOWN",
        _O.REFUSED,
        10,
        "目录中没有该主体。",
        "The directory does not know this principal.",
        remedy=("请管理员登记该主体。", "Ask an administrator to register the principal."),
    ),
    _row(
        "PRINCIPAL_OFFBOARDED",
        _O.REFUSED,
        11,
        "该主体已离职。",
        "This principal has been offboarded.",
        basis=("PIPL-51",),
    ),
    _row(
        "PRINCIPAL_SUSPENDED",
        _O.REFUSED,
        12,
        "该主体已被停用。",
        "This principal is suspended.",
        basis=("PIPL-51",),
    ),
    _row(
        "DELEGATION_REFUSED",
        _O.REFUSED,
        13,
        "该调用方不能代表他人请求。",
        "This caller may not ask on behalf of somebody.",
    ),
    # What opens.
    _row(
        "NO_GRANT",
        _O.REFUSED,
        20,
        "没有任何授权允许此操作。",
        "No grant allows this.",
        remedy=("请向安全团队申请授权。", "Ask the security team for a grant."),
    ),
    _row("LIMIT_EXCEEDED", _O.LIMITED, 21, "已达到用量上限。", "A limit is used up."),
    _row(
        "SELF_PROMOTION",
        _O.REFUSED,
        22,
        "任何人都不能修改自己的目录记录。",
        "Nobody changes his own directory record.",
        remedy=("请由另一位管理员操作。", "Ask another administrator to do it."),
    ),
    _row(
        "LAST_ADMINISTRATOR",
        _O.REFUSED,
        23,
        "最后一位管理员不能离任。",
        "The last administrator stays until there is another.",
        remedy=("请先登记另一位管理员。", "Register another administrator first."),
    ),
    _row(
        "OFFBOARDED_STAYS",
        _O.CONFLICT,
        24,
        "已离职的主体不能恢复；返聘者使用新的标识。",
        "Who was offboarded stays so; a returner gets a new id.",
        basis=("PIPL-51",),
        remedy=("请用新的标识登记返聘者。", "Register the returner under a new id."),
    ),
    # What was asked, against the bundle.
    _row(
        "UNKNOWN_PURPOSE",
        _O.INVALID,
        30,
        "目的目录中没有该处理目的。",
        "The purpose catalogue does not define this purpose.",
    ),
    _row("UNKNOWN_STORE", _O.INVALID, 30, "没有配置该数据源。", "No store of this name is configured."),
    _row(
        "SEARCH_NOT_SUPPORTED",
        _O.INVALID,
        30,
        "该数据源不支持按号码后四位查找。",
        "The store can not be searched by the last four digits of a number.",
    ),
    _row(
        "UNKNOWN_FIELD",
        _O.INVALID,
        30,
        "字段目录中没有该字段，或该数据源未映射它。",
        "The field catalogue does not define this field, or the store does not map it.",
    ),
    _row(
        "FIELDS_UNBOUNDED",
        _O.INVALID,
        30,
        "必须逐一列出所需字段；空掩码或 * 不被接受。",
        "Name the fields that are needed; an empty mask or * is refused.",
        basis=("PIPL-6",),
    ),
    _row(
        "PURPOSE_MISSING", _O.INVALID, 30, "必须说明处理目的。", "A purpose is required.", basis=("PIPL-6",)
    ),
    _row("ARGUMENT_INVALID", _O.INVALID, 30, "请求参数无效。", "An argument of the request is not valid."),
    _row("PHONE_INVALID", _O.INVALID, 30, "手机号码格式无效。", "The phone number is not valid."),
    _row(
        "TEXT_INVALID",
        _O.INVALID,
        30,
        "文本含有 NUL、控制字符或不完整的代理对。",
        "A text contains NUL, control characters or lone surrogates.",
    ),
    _row(
        "BASIS_NOT_ACCEPTED",
        _O.REFUSED,
        31,
        "该处理目的不接受所声明的合法性基础。",
        "The purpose does not accept the legal basis that was declared.",
        basis=("PIPL-13",),
        remedy=("请使用该目的接受的合法性基础。", "Use a basis that the purpose accepts."),
    ),
    _row(
        "BASIS_EVIDENCE_MISSING",
        _O.REFUSED,
        32,
        "所声明的合法性基础缺少证据。",
        "The legal basis that was declared needs evidence.",
        basis=("PIPL-13",),
        remedy=(
            "请在 basis_evidence 中附上证据编号，例如订单号。",
            "Give the evidence, an order id for example, in `basis_evidence`.",
        ),
    ),
    # What closes.
    _row(
        "CONSENT_MISSING",
        _O.REFUSED,
        100,
        "没有有效的授权记录。",
        "No valid consent on record.",
        basis=("PIPL-13", "PIPL-14"),
        remedy=("请向客户出示告知书并记录其答复。", "Show the customer the notice and record the answer."),
    ),
    _row(
        "CONSENT_WITHDRAWN",
        _O.REFUSED,
        101,
        "客户已撤回授权。",
        "The customer has withdrawn consent.",
        basis=("PIPL-15",),
    ),
    _row(
        "CUSTOMER_OPTED_OUT",
        _O.REFUSED,
        90,
        "客户已拒收。",
        "The customer has opted out.",
        basis=("AdLaw-43", "PIPL-15"),
        remedy=("停止联系，不要再次征求同意。", "Stop, and do not ask the customer again."),
    ),
    _row("GUARD_REFUSED", _O.REFUSED, 200, "策略拒绝了此操作。", "A guard refused this."),
    _row(
        "GUARD_ERROR",
        _O.REFUSED,
        900,
        "策略无法求值，按拒绝处理。",
        "A rule could not be evaluated; it refuses.",
        remedy=("请联系安全团队检查该策略。", "Ask the security team to check the rule."),
    ),
    _row(
        "FACT_MISSING",
        _O.REFUSED,
        901,
        "策略所需的事实未知，按拒绝处理。",
        "A fact that a rule reads is not known; the rule refuses.",
        remedy=("请补全客户或主体的该项属性。", "Complete this attribute of the customer or principal."),
    ),
    _row(
        "NO_FIELD_GRANTED",
        _O.REFUSED,
        300,
        "所请求的字段均不在授权范围内。",
        "None of the fields that were asked for is granted.",
        basis=("PIPL-6",),
        remedy=("只请求该目的所需的字段。", "Ask only for fields that the purpose needs."),
    ),
    _row(
        "FIELD_NOT_GRANTED",
        _O.REFUSED,
        301,
        "该字段不在授权范围内。",
        "The field is not granted.",
        basis=("PIPL-6",),
    ),
    _row("APPROVAL_REQUIRED", _O.APPROVAL, 400, "此操作需要审批。", "This needs an approval."),
    # What is there.
    _row("CUSTOMER_NOT_FOUND", _O.NOT_FOUND, 500, "没有找到该客户。", "There is no such customer."),
    _row(
        "CUSTOMER_AMBIGUOUS",
        _O.CONFLICT,
        500,
        "该号码对应多位客户，请使用客户编号。",
        "Several customers share this number; name one by customer id.",
    ),
    _row(
        "SEARCH_TOO_WIDE",
        _O.CONFLICT,
        500,
        "匹配的客户过多，请使用客户编号或完整号码。",
        "Too many customers match; name one by customer id or whole number.",
    ),
    _row("PRINCIPAL_NOT_FOUND", _O.NOT_FOUND, 500, "没有找到该主体。", "There is no such principal."),
    _row(
        "REQUEST_ID_REUSED",
        _O.CONFLICT,
        500,
        "同一 request_id 曾用于不同的请求。",
        "This request_id was used for another request.",
    ),
    _row(
        "SUPPRESSION_NOT_FOUND", _O.NOT_FOUND, 500, "没有找到该拒收记录。", "There is no such opt-out."
    ),
    _row(
        "SUPPRESSION_CONFIRMATION_MISSING",
        _O.INVALID,
        500,
        "只有客户本人在拒收之后的确认行为才能解除拒收。",
        "Only an act of the customer after the opt-out lifts it.",
        basis=("AdLaw-43", "PIPL-15"),
        remedy=(
            "请提供确认方式、证据编号和晚于拒收的时间。",
            "Give its method, where its evidence lies, and its time, later than the opt-out's.",
        ),
    ),
    _row(
        "PAGE_TOKEN_INVALID",
        _O.INVALID,
        500,
        "分页标记不属于此查询。",
        "The page token is not one of this query.",
        remedy=("请从第一页重新开始。", "Start again from the first page."),
    ),
    _row("EVENT_IN_FUTURE", _O.INVALID, 500, "事件时间在未来。", "The event time lies in the future."),
    # What a consent rests on.
    _row(
        "NOTICE_UNKNOWN",
        _O.INVALID,
        500,
        "没有这一版本的告知书，或尚未设置个人信息处理者名称。",
        "There is no such version of a notice, or the setting `controller` names no handler.",
        basis=("PIPL-14", "PIPL-17"),
        remedy=(
            "请出示现行告知书，并注明其编号、版本、语言和摘要。",
            "Show the notice in force, and name its id, version, language and digest.",
        ),
    ),
    _row(
        "NOTICE_MISMATCH",
        _O.INVALID,
        500,
        "该告知书的文本或范围与此授权不符。",
        "The notice has another text, or asks for something else, than this consent.",
        basis=("PIPL-14", "PIPL-17", "PIPL-23"),
        remedy=(
            "请按现行告知书的文本、目的、渠道和范围征得同意。",
            "Ask for the consent in the words and within the bounds of the notice.",
        ),
    ),
    _row(
        "NOTICE_CHANGED",
        _O.CONFLICT,
        500,
        "该告知书的内容已变更，但版本号没有变更。",
        "The notice was changed without a new version.",
        basis=("PIPL-14",),
        remedy=("请为变更后的告知书设置新版本。", "Give the changed notice a new version."),
    ),
    _row(
        "CONSENT_NOT_FREE",
        _O.REFUSED,
        500,
        "没有说明征得方式，或同意是默认勾选、捆绑取得的。",
        "How the consent was captured is not said, or it was ticked beforehand or bundled.",
        basis=("PIPL-14", "PIPL-16"),
        remedy=(
            "请由客户自行、单独作出选择，并重新记录。",
            "Let the customer choose, and choose this alone; then record it anew.",
        ),
    ),
    _row(
        "PROMPT_INVALID",
        _O.INVALID,
        500,
        "该征询凭据无效：已使用、已过期、不属于您，或客户已另作表示。",
        "The prompt is not valid: used, expired, somebody else's, or overtaken by the customer.",
        remedy=("请重新查询以取得新的征询凭据。", "Look the customer up again for a new prompt."),
    ),
    # What broke.
    _row(
        "STORE_UNAVAILABLE",
        _O.UNAVAILABLE,
        950,
        "客户数据源不可用。",
        "The customer store is not available.",
    ),
    _row(
        "STORE_TIMEOUT",
        _O.DEADLINE,
        950,
        "客户数据源未在期限内应答。",
        "The customer store did not answer in time.",
    ),
    _row(
        "LEDGER_UNAVAILABLE",
        _O.UNAVAILABLE,
        951,
        "账本不可用，按拒绝处理。",
        "The ledger is not available; refused.",
    ),
    _row(
        "LOG_UNAVAILABLE",
        _O.UNAVAILABLE,
        952,
        "审计日志无法写入，不再放行任何数据。",
        "The log cannot be written; nothing is released.",
    ),
    _row(
        "ENTRY_TOO_LARGE",
        _O.INVALID,
        953,
        "请求过大，无法留下完整证据。",
        "The request is too large for one evidence entry.",
    ),
    _row(
        "NOT_SERVING",
        _O.UNAVAILABLE,
        954,
        "服务正在停止或尚未就绪。",
        "The server is draining or not ready.",
    ),
    _row("DEADLINE_EXCEEDED", _O.DEADLINE, 955, "未在期限内完成。", "The deadline passed."),
    _row("NOT_IMPLEMENTED", _O.UNIMPLEMENTED, 956, "没有该方法。", "There is no such method."),
    _row("INTERNAL", _O.INTERNAL, 999, "内部错误，按拒绝处理。", "An internal error; refused."),
)

BUILT_IN_REASONS: Mapping[str, ReasonDefinition] = MappingProxyType({row.code: row for row in _ROWS})
"""Code to definition."""

BUNDLE_PREFIX = "X_"
"""Reasons that a bundle declares start with this."""
