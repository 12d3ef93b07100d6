"""The customers' own page in a real Chromium: without scripts, at the width of a phone and of a desk, in both languages."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from fujie.app.settings import Server
from fujie.app.web import PublicServer
from fujie.flows.consent import record_consent
from fujie.flows.gate import Gate
from fujie.model.customer import Phone, StoreKey
from fujie.model.request import RequestContext
from fujie.model.subject_request import Indexed
from support.answers import answer
from support.house import House, caller
from support.links import Sent, send, sending

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_MS = 180_000
"""No measure: what takes so long never comes."""
WIDTHS = {"phone": (360, 740), "desk": (1280, 900)}
WORDS = {
    "zh-CN": ("不再接收“营销”消息", "重新同意…", "我同意", "不再接收任何消息", "解除全部拒收…", "确认解除"),
    "en": ("Stop “Marketing” messages", "Agree again…", "I agree", "Stop all messages",
           "End the refusal of everything…", "Confirm"),
}  # fmt: skip
ASKS = {
    "zh-CN": ("投诉…", "提交投诉", "申请删除我的个人信息…", "确认申请删除", "您的信息被使用的记录"),
    "en": ("Complain…", "Send the complaint", "Ask us to erase my data…", "Yes, ask for erasure",
           "When your data were used"),
}  # fmt: skip
SERIOUS = {"serious", "critical"}

needs_chromium = pytest.mark.skipif(
    not (CHROMIUM.exists() and AXE.exists()) and not os.environ.get("CI"),
    reason="NOT TESTED: the customers' page needs Debian's chromium and `npm ci` in tests/node",
)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
            timeout=PATIENCE_MS,
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def served(house: House) -> AsyncIterator[tuple[Gate, str]]:
    gate = sending(house)
    server = await PublicServer.start(
        Server(public_listen="127.0.0.1:0", public_url="http://127.0.0.1"), gate, {}
    )
    try:
        yield gate, f"http://127.0.0.1:{server.port}"
    finally:
        await server.stop(5.0)


async def linked(gate: Gate, key: StoreKey) -> tuple[Sent, str]:
    await record_consent(gate, caller("consent-desk"), RequestContext(), answer(gate, key))
    (row,) = await gate.stores["crm"].fetch(key, frozenset(), frozenset(), 2.0)
    assert row.phone is not None
    return await send(gate, key, Phone(row.phone)), row.phone


async def check(page: Page, name: str, shots: Path) -> None:
    """Look at the page as it is: no serious violation, nothing wider than the screen, nothing blocked."""
    await page.screenshot(path=shots / f"{name}.png", full_page=True)
    await page.evaluate(AXE.read_text("utf-8"))
    found: dict[str, Any] = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    bad = [(each["id"], each["impact"]) for each in found["violations"] if each["impact"] in SERIOUS]
    assert bad == [], name
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name


@needs_chromium
async def test_a_customer_refuses_and_agrees_again_at_any_width_in_both_languages(
    house: House, tmp_path: Path
) -> None:
    async with served(house) as (gate, base), chromium() as browser:
        number = 0
        for size, (width, height) in WIDTHS.items():
            for language, words in WORDS.items():
                number += 1
                sent, phone = await linked(gate, StoreKey("crm", f"C{number:05d}"))
                context = await browser.new_context(
                    viewport={"width": width, "height": height}, locale=language,
                    color_scheme="dark" if number == 4 else "light",
                )  # fmt: skip
                page = await context.new_page()
                page.set_default_timeout(PATIENCE_MS)
                troubles: list[str] = []
                page.on("console", partial(_hear, troubles))
                await walk(page, f"{base}/c/{sent.token}", words, f"{size}-{language}", tmp_path)
                await used(house, StoreKey("crm", f"C{number:05d}"), number)
                await asks(page, f"{base}/c/{sent.token}", ASKS[language], f"{size}-{language}", tmp_path)
                assert phone[-8:] not in await page.content()
                assert troubles == []
                await context.close()


def _hear(troubles: list[str], said: ConsoleMessage) -> None:
    """Keep what the browser complains of: what the policy of the page blocks, above all."""
    troubles.append(said.text)


async def walk(page: Page, url: str, words: tuple[str, ...], name: str, shots: Path) -> None:
    stop_one, again, agree, stop_all, end_all, confirm = words
    await page.goto(url)
    for summary in await page.locator("summary").all():
        await summary.click()
    await check(page, f"{name}-1-open", shots)
    await page.get_by_role("button", name=stop_one).click()
    await page.get_by_role("status").wait_for()
    await check(page, f"{name}-2-refused", shots)
    await page.reload()
    assert await page.get_by_role("button", name=stop_one).count() == 0
    await page.get_by_role("link", name=again).click()
    await check(page, f"{name}-3-words", shots)
    await page.get_by_role("button", name=agree).click()
    await page.get_by_role("button", name=stop_one).wait_for()
    await page.get_by_role("button", name=stop_all).click()
    await page.get_by_role("link", name=end_all).wait_for()
    await check(page, f"{name}-4-everything", shots)
    await page.get_by_role("link", name=end_all).click()
    await check(page, f"{name}-5-end", shots)
    await page.get_by_role("button", name=confirm).click()
    await page.get_by_role("button", name=stop_one).wait_for()


async def used(house: House, key: StoreKey, number: int) -> None:
    """Let the index of the log say that the data of a customer were used on sixty days."""
    identity = await house.ledger.find((key,))
    assert identity is not None
    counts = {
        (identity.sid, date(2026, 9, 1) + timedelta(days=day), action, purpose): day % 3 + 1
        for day in range(30)
        for action, purpose in (("lookup", "after_sales"), ("send", "marketing"))
    }
    await house.ledger.disclosures.add(Indexed(f"test/w{number}", 0, 1, counts))


async def asks(page: Page, url: str, words: tuple[str, ...], name: str, shots: Path) -> None:
    """Complain, then ask for erasure; each shows its number, and its form is gone."""
    complain, send, erase, confirm, disclosures = words
    await page.goto(url)
    await page.get_by_text(disclosures).click()
    assert await page.locator("details[open] li").count() == 50
    await check(page, f"{name}-6-disclosures", shots)
    await page.get_by_role("link", name=complain).click()
    await page.get_by_role("textbox").fill(
        "两条消息相隔一分钟 👨\u200d👩\u200d👧\nTwo messages within a minute"
    )
    await check(page, f"{name}-7-complaint", shots)
    await page.get_by_role("button", name=send).click()
    await page.get_by_role("status").wait_for()
    assert await page.get_by_role("link", name=complain).count() == 0
    await page.get_by_role("link", name=erase).click()
    await check(page, f"{name}-8-erasure", shots)
    await page.get_by_role("button", name=confirm).click()
    await page.get_by_role("status").wait_for()
    await check(page, f"{name}-9-asked", shots)


@needs_chromium
async def test_it_works_without_javascript_and_a_bad_link_says_what_to_do(
    house: House, tmp_path: Path
) -> None:
    async with served(house) as (gate, base), chromium() as browser:
        sent, _ = await linked(gate, StoreKey("crm", "C00001"))
        context = await browser.new_context(
            java_script_enabled=False, locale="zh-CN", viewport={"width": 360, "height": 740}
        )
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(f"{base}/c/{sent.token}")
        await page.get_by_role("link", name="English").click()
        await page.get_by_role("button", name=WORDS["en"][0]).click()
        assert await page.get_by_role("status").inner_text()
        gone = await page.goto(f"{base}/c/{'A' * 22}?lang=en")
        assert gone is not None
        assert gone.status == 404
        assert "reply “TD”" in await page.inner_text("main")
        await page.screenshot(path=tmp_path / "gone.png", full_page=True)


@needs_chromium
async def test_the_page_loads_nothing_from_anywhere_and_leaves_nothing_behind(house: House) -> None:
    async with served(house) as (gate, base), chromium() as browser:
        sent, _ = await linked(gate, StoreKey("crm", "C00001"))
        context = await browser.new_context()
        page, asked = await context.new_page(), []
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(f"{base}/c/{sent.token}")
        others = [url for url in asked if not url.endswith((sent.token, "/favicon.ico"))]
        assert others == []
        assert await context.cookies() == []
        assert await page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_nothing_here_is_skipped_where_it_must_run() -> None:
    if os.environ.get("CI"):
        assert CHROMIUM.exists(), "CI installs Debian's chromium"
        assert AXE.exists(), "CI runs `npm ci` in tests/node"
