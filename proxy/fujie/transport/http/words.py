"""The words of the customers' own page, in Chinese and English. Each must be true of what the flows do."""

import re
from collections.abc import Mapping

LANGUAGES = ("zh", "en")
"""The first is for who names none that we have."""

_WEIGHT = re.compile(r"q=([01](?:\.[0-9]{0,3})?)", re.IGNORECASE)

_WORDS: Mapping[str, tuple[str, str]] = {
    "title": ("消息与授权", "Messages and consent"),
    "other_language": ("English", "中文"),
    "held_by": ("个人信息处理者：{}", "Your data are held by {}"),
    "about": ("您收到的“{}”消息", "The “{}” messages that you get"),
    "about_closed": ("“{}”消息", "“{}” messages"),
    "stop_one": ("不再接收“{}”消息", "Stop “{}” messages"),
    "stop_one_note": (
        "点击后立即生效，适用于我们的所有签名和渠道。",
        "One tap, and it holds at once, under every name and on every channel of ours.",
    ),
    "stop_all": ("不再接收任何消息", "Stop all messages"),
    "stop_all_note": (
        "包括订单、售后和验证码等服务消息。",
        "Also those about orders, service and verification codes.",
    ),
    "refused_one": ("您自 {} 起已拒收。", "Refused by you since {}."),
    "refused_all": (
        "您自 {} 起已拒收全部消息，我们不再向您发送任何消息。",
        "You refused all messages on {}. We send you none.",
    ),
    "nothing_needed": ("发送此类消息无需您的同意。", "These messages do not rest on consent."),
    "agree": ("同意接收…", "Agree…"),
    "agree_again": ("重新同意…", "Agree again…"),
    "take_back": ("重新接收…", "Take this back…"),
    "take_back_all": ("解除全部拒收…", "End the refusal of everything…"),
    "others": ("其他用途的授权", "Your consent for other purposes"),
    "purpose": ("用途", "Purpose"),
    "state": ("状态", "State"),
    "since": ("{} 起", "Since {}"),
    "NONE": ("未同意", "Not agreed"),
    "REQUESTED": ("已询问，未答复", "Asked, not answered"),
    "GIVEN": ("已同意", "Agreed"),
    "REFUSED": ("未同意", "Declined"),
    "WITHDRAWN": ("已撤回", "Withdrawn"),
    "EXPIRED": ("已到期", "Expired"),
    "INVALIDATED": ("已失效", "Invalidated"),
    "CLOSED": ("已拒收", "Refused"),
    "done": ("已登记，立即生效。", "Recorded, and in force."),
    "receipt": ("受理编号", "Receipt number"),
    "keep": ("请保存此编号，查询时可提供。", "Keep this number in case you want to ask about it."),
    "pending": (
        "拒收已登记并生效。此前已交给运营商的一条消息可能仍会送达。",
        "Recorded, and in force. One message that left before may still arrive.",
    ),
    "qr": ("在另一台设备上打开", "Open on another device"),
    "qr_label": ("本页链接的二维码", "QR code of the link to this page"),
    "qr_note": (
        "任何人打开此链接都可以更改以上设置，请勿转发。",
        "Whoever opens this link can change these settings. Do not pass it on.",
    ),
    "validity": (
        "本链接有效至 {}。时间为 {} 时区。此后仍可直接回复短信“TD”拒收。",
        "This link works until {}. Times are in the zone {}. After that you can still reply “TD” to a message.",
    ),
    "agree_title": ("同意接收", "Agree"),
    "restore_title": ("重新同意", "Agree again"),
    "restore_lift_title": ("重新接收", "Receive again"),
    "restore_all_title": ("解除全部拒收", "End the refusal of everything"),
    "restore_ask": ("请先阅读，再决定是否同意：", "Please read this first. It is your choice:"),
    "restore_ends": (
        "确认后，您对“{}”消息的拒收将被解除。",
        "If you confirm, your refusal of “{}” messages ends.",
    ),
    "restore_ends_all": (
        "确认后，您对全部消息的拒收将被解除，各用途恢复到此前各自的状态：同意过的重新有效，单独拒收的仍然拒收。",
        "If you confirm, your refusal of everything ends. Each purpose is as it was before: what you agreed to counts again.",
    ),
    "yes_agree": ("我同意", "I agree"),
    "yes_confirm": ("确认解除", "Confirm"),
    "no_back": ("不，返回", "No, go back"),
    "obstacle_others": (
        "此项拒收无法在本页解除：它是较早的记录，或由使用同一号码的其他人作出。请联系客服。",
        "This refusal is an older record, or of somebody who shares your number. Please ask customer service to end it.",
    ),
    "obstacle_everything": (
        "您已拒收全部消息，请先解除全部拒收。",
        "You have refused everything. That refusal has to end first.",
    ),
    "obstacle_no_notice": (
        "目前没有可供您同意的告知书，因此无法在本页同意。",
        "There is no notice to agree to at present, so it can not be done here.",
    ),
    "back": ("返回", "Back"),
    "rights": ("您的权利", "Your rights"),
    "ask_COMPLAINT": ("投诉…", "Complain…"),
    "ask_ERASURE": ("申请删除我的个人信息…", "Ask us to erase my data…"),
    "standing_COMPLAINT": ("您于 {} 提交的投诉正在处理。", "Your complaint of {} is being handled."),
    "standing_ERASURE": (
        "您于 {} 提交的删除申请正在处理。",
        "Your request of {} to erase your data is being handled.",
    ),
    "standing_due": ("我们将在 {} 前答复。", "We answer by {}."),
    "title_COMPLAINT": ("投诉", "Complain"),
    "title_ERASURE": ("申请删除个人信息", "Ask us to erase your data"),
    "means_COMPLAINT": (
        "您的投诉将由我们的工作人员处理，并在 {} 日内答复。",
        "A person here reads your complaint and answers within {} days.",
    ),
    "means_ERASURE": (
        "我们会先核实您的身份，并在 {} 日内答复。法律规定须保存的信息不予删除。如果只是不想再收到消息，请返回并选择拒收。",
        "We make sure that it is you, and answer within {} days. What the law obliges us to keep stays. To end messages, refuse them.",
    ),
    "complaint_label": ("请说明情况（最多 {} 字）", "What is it about? (at most {} characters)"),
    "confirm_COMPLAINT": ("提交投诉", "Send the complaint"),
    "confirm_ERASURE": ("确认申请删除", "Yes, ask for erasure"),
    "request_done": ("已收到，我们将在 {} 前答复。", "Received. We answer by {}."),
    "disclosures": ("您的信息被使用的记录", "When your data were used"),
    "disclosures_note": (
        "以下为最近的记录，按日期和用途列出；刚刚发生的使用稍后才会显示。",
        "The latest uses, by day and purpose. What happened just now is listed a little later.",
    ),
    "no_disclosures": ("暂无记录。", "None on record."),
    "did_lookup": ("查询", "Looked up"),
    "did_send": ("发送消息", "Message sent"),
    "for_purpose": ("用途：{}", "for: {}"),
    "once": ("1 次", "once"),
    "often": ("{} 次", "{} times"),
    "404": ("链接无效或已过期", "This link does not work, or not any more"),
    "404_more": (
        "请检查链接是否完整。您也可以直接回复短信“TD”拒收。",
        "Check that it is complete. You can also reply “TD” to the message to refuse.",
    ),
    "429": ("操作过于频繁", "Too many tries"),
    "429_more": ("请一分钟后再试。", "Please wait a minute and try again."),
    "409": ("状态已发生变化", "Something has changed"),
    "409_more": (
        "未作任何更改，请返回查看当前状态。",
        "Nothing was changed. Go back and look at how things stand now.",
    ),
    "away": (
        "暂时无法显示您的授权情况，但您现在就可以拒收，立即生效。",
        "We can not show how things stand right now. You can refuse all the same, and it holds at once.",
    ),
    "503": ("暂时无法处理", "We can not do this right now"),
    "503_more": (
        "请稍后再试。若要拒收，也可以直接回复短信“TD”。",
        "Please try again soon. To refuse, you can also reply “TD” to the message.",
    ),
    "400": ("请求无效", "This request is not valid"),
    "400_more": ("未作任何更改，请返回后重试。", "Nothing was changed. Please go back and try again."),
}


def words(language: str) -> Mapping[str, str]:
    """Return all words in one of LANGUAGES."""
    place = LANGUAGES.index(language)
    return {key: texts[place] for key, texts in _WORDS.items()}


def language_for(asked: str, accepted: str) -> str:
    """Return the language of `?lang=`, else the first of an Accept-Language header that we have, by its weights."""
    if asked in LANGUAGES:
        return asked
    found = []
    for place, part in enumerate(accepted[:500].split(",")):
        tag, _, weight = part.strip().partition(";")
        primary = tag.strip().partition("-")[0].lower()
        if primary in LANGUAGES:
            found.append((-_weight(weight), place, primary))
    return min(found)[2] if found else LANGUAGES[0]


def _weight(text: str) -> float:
    """Return the weight of RFC 9110, section 12.4.2; 1 without one, 0 for what is none."""
    found = _WEIGHT.fullmatch(text.strip())
    return float(found[1]) if found else 0.0 if text else 1.0
