"""Variables of templates, by the rules of each kind of provider."""

import pytest

from fujie.decision.variables import RULES, fit
from fujie.model.message import Category, Template


def template(text: str, category: Category = Category.VERIFICATION) -> Template:
    return Template("t", "1", category, text)


CODE = template("验证码 {code}，勿泄露。")
SALE = template("{name}您好，大促开始。", Category.MARKETING)
NOTE = template("{name}您好，包裹已到。", Category.TRANSACTIONAL)


@pytest.mark.parametrize(
    ("kind", "of", "params", "fits"),
    [
        ("tencent", CODE, {"code": "123456"}, True),
        ("tencent", CODE, {"code": "1234567"}, False),
        ("tencent", CODE, {"code": "t.cn/1"}, False),
        ("tencent", NOTE, {"name": "张三"}, False),
        ("tencent", SALE, {"name": "张三"}, False),
        ("huawei", NOTE, {"name": "张" * 20}, True),
        ("huawei", NOTE, {"name": "张" * 21}, False),
        ("huawei", NOTE, {"name": "看evil.com"}, False),
        ("huawei", SALE, {"name": "张三"}, False),
        ("huawei", template("包裹" + "，".join(f"{{v{n}}}" for n in range(21))), {f"v{n}": "x" for n in range(21)}, False),
        ("aliyun", SALE, {"name": "张三"}, True),
        ("aliyun", NOTE, {"name": "http://evil.com"}, False),
        ("aliyun", template("{a}{b}您好"), {"a": "x", "b": "y"}, False),
        ("aliyun", template("{a}"), {"a": "x"}, False),
        ("aliyun", template("{a}，{b}"), {"a": "x", "b": "y"}, True),
        ("volcengine", SALE, {"name": "张三"}, False),
        ("twilio", SALE, {"name": "http://example.com/张" * 9}, True),
        ("outbox", NOTE, {"name": "张三"}, True),
    ],
)  # fmt: skip
def test_the_rules_of_the_provider_hold(
    kind: str, of: Template, params: dict[str, str], fits: bool
) -> None:
    assert fit(kind, of, params) is fits


def test_of_a_kind_that_nobody_read_about_nothing_is_known() -> None:
    assert fit("elsewhere", NOTE, {"name": "张三"}) is None


@pytest.mark.parametrize("kind", [*RULES, "elsewhere"])
def test_without_variables_everything_fits(kind: str) -> None:
    assert fit(kind, template("大促开始", Category.MARKETING), {}) is True
    assert fit(kind, None, {"name": "http://evil.com"}) is True
