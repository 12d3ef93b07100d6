"""The reasons of what can not be done: the request is wrong, nothing is there, or something broke."""

from fujie.model.reason import Outcome, ReasonDefinition, row

_O = Outcome

FAILURES: tuple[ReasonDefinition, ...] = (
    # What was asked, against the bundle.
    row(
        "UNKNOWN_PURPOSE",
        _O.INVALID,
        30,
        "目的目录中没有该处理目的。",
        "The purpose catalogue does not define this purpose.",
    ),
    row("UNKNOWN_STORE", _O.INVALID, 30, "没有配置该数据源。", "No store of this name is configured."),
    row(
        "SEARCH_NOT_SUPPORTED",
        _O.INVALID,
        30,
        "该数据源不支持按号码后四位查找。",
        "The store can not be searched by the last four digits of a number.",
    ),
    row(
        "UNKNOWN_FIELD",
        _O.INVALID,
        30,
        "字段目录中没有该字段，或该数据源未映射它。",
        "The field catalogue does not define this field, or the store does not map it.",
    ),
    row(
        "FIELDS_UNBOUNDED",
        _O.INVALID,
        30,
        "必须逐一列出所需字段；空掩码或 * 不被接受。",
        "Name the fields that are needed; an empty mask or * is refused.",
        basis=("PIPL-6",),
    ),
    row(
        "PURPOSE_MISSING", _O.INVALID, 30, "必须说明处理目的。", "A purpose is required.", basis=("PIPL-6",)
    ),
    row("ARGUMENT_INVALID", _O.INVALID, 30, "请求参数无效。", "An argument of the request is not valid."),
    row("PHONE_INVALID", _O.INVALID, 30, "手机号码格式无效。", "The phone number is not valid."),
    row(
        "TEXT_INVALID",
        _O.INVALID,
        30,
        "文本含有 NUL、控制字符或不完整的代理对。",
        "A text contains NUL, control characters or lone surrogates.",
    ),
    row(
        "BASIS_NOT_ACCEPTED",
        _O.REFUSED,
        31,
        "该处理目的不接受所声明的合法性基础。",
        "The purpose does not accept the legal basis that was declared.",
        basis=("PIPL-13",),
        remedy=("请使用该目的接受的合法性基础。", "Use a basis that the purpose accepts."),
    ),
    row(
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
    # What is there.
    row("CUSTOMER_NOT_FOUND", _O.NOT_FOUND, 500, "没有找到该客户。", "There is no such customer."),
    row(
        "CUSTOMER_AMBIGUOUS",
        _O.CONFLICT,
        500,
        "该号码对应多位客户，请使用客户编号。",
        "Several customers share this number; name one by customer id.",
    ),
    row(
        "SEARCH_TOO_WIDE",
        _O.CONFLICT,
        500,
        "匹配的客户过多，请使用客户编号或完整号码。",
        "Too many customers match; name one by customer id or whole number.",
    ),
    row("PRINCIPAL_NOT_FOUND", _O.NOT_FOUND, 500, "没有找到该主体。", "There is no such principal."),
    row(
        "REQUEST_ID_REUSED",
        _O.CONFLICT,
        500,
        "同一 request_id 曾用于不同的请求。",
        "This request_id was used for another request.",
    ),
    row("SUPPRESSION_NOT_FOUND", _O.NOT_FOUND, 500, "没有找到该拒收记录。", "There is no such opt-out."),
    row(
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
    row("APPROVAL_NOT_FOUND", _O.NOT_FOUND, 500, "没有找到该审批。", "There is no such approval."),
    row(
        "APPROVAL_CLOSED",
        _O.CONFLICT,
        500,
        "该审批已结束：已使用、已拒绝、已撤销或已过期。",
        "The approval is closed: used, rejected, revoked or expired.",
        remedy=("请重新请求以取得新的审批。", "Ask again; that makes a new one."),
    ),
    row(
        "PAGE_TOKEN_INVALID",
        _O.INVALID,
        500,
        "分页标记不属于此查询。",
        "The page token is not one of this query.",
        remedy=("请从第一页重新开始。", "Start again from the first page."),
    ),
    row("EVENT_IN_FUTURE", _O.INVALID, 500, "事件时间在未来。", "The event time lies in the future."),
    # What broke.
    row(
        "STORE_UNAVAILABLE",
        _O.UNAVAILABLE,
        950,
        "客户数据源不可用。",
        "The customer store is not available.",
    ),
    row(
        "STORE_TIMEOUT",
        _O.DEADLINE,
        950,
        "客户数据源未在期限内应答。",
        "The customer store did not answer in time.",
    ),
    row(
        "LEDGER_UNAVAILABLE",
        _O.UNAVAILABLE,
        951,
        "账本不可用，按拒绝处理。",
        "The ledger is not available; refused.",
    ),
    row(
        "LOG_UNAVAILABLE",
        _O.UNAVAILABLE,
        952,
        "审计日志无法写入，不再放行任何数据。",
        "The log cannot be written; nothing is released.",
    ),
    row(
        "ENTRY_TOO_LARGE",
        _O.INVALID,
        953,
        "请求过大，无法留下完整证据。",
        "The request is too large for one evidence entry.",
    ),
    row(
        "NOT_SERVING",
        _O.UNAVAILABLE,
        954,
        "服务正在停止或尚未就绪。",
        "The server is draining or not ready.",
    ),
    row("DEADLINE_EXCEEDED", _O.DEADLINE, 955, "未在期限内完成。", "The deadline passed."),
    row("NOT_IMPLEMENTED", _O.UNIMPLEMENTED, 956, "没有该方法。", "There is no such method."),
    row("INTERNAL", _O.INTERNAL, 999, "内部错误，按拒绝处理。", "An internal error; refused."),
)
"""Rows of `reasons.BUILT_IN_REASONS`."""
