"""The approvals inbox in a real Chromium: without scripts, at the width of a phone and of a desk, in both languages, with
axe; signed in at a stand-in for an OpenID Connect provider on another origin, and by keyboard alone."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from playwright.async_api import ConsoleMessage, Page

from flows.test_approvals import EYES, NOTHING
from flows.test_own_page_browser import PATIENCE_MS, WIDTHS, check, chromium, needs_chromium
from fujie.app.web import PublicServer
from fujie.flows.approvals import approve
from fujie.flows.gate import Gate
from fujie.flows.reply import ApprovalReply
from fujie.transport.http.console import COOKIE
from support import ports
from support.consoles import desk_of, fixed_tokens, signing_in, staffed, waiting
from support.house import House
from support.oidc import provider

HOSTILE = "<img src=x onerror=alert(1)>"
WORDS = {
    "zh-CN": ("登录", "未办结", "导出客户 · marketer", "拒绝", "同意", "历史记录", "退出登录", "已记录您的同意。", "明文"),
    "en": ("Sign in", "Open", "Export customers · marketer", "Reject", "Approve", "History", "Sign out",
           "Your approval is on record.", "as it is"),
}  # fmt: skip


@dataclass
class Served:
    """A console on loopback, signed in to at a provider on another port."""

    gate: Gate
    base: str


@asynccontextmanager
async def served(house: House) -> AsyncIterator[Served]:
    house = await staffed(house)
    async with AsyncExitStack() as opened:
        at = await opened.enter_async_context(provider(house.hands.now))
        # The port first: the origin of the console is a part of what it serves.
        base = f"http://127.0.0.1:{ports.free()[0]}"
        sign_in = signing_in(house.gate, at, base, opened)
        desk = desk_of(house.gate, fixed_tokens(), sign_in, base)
        server = await PublicServer.over(desk.app, base.removeprefix("http://"), ())
        opened.push_async_callback(server.stop, 5.0)
        yield Served(house.gate, base)


async def signed_in(page: Page, base: str, words: tuple[str, ...], subject: str) -> None:
    await page.goto(f"{base}/console")
    await page.get_by_role("link", name=words[0]).click()
    await page.get_by_label("Name").fill(subject)
    await page.get_by_role("button", name="Let me in").click()
    await page.get_by_role("heading", level=1, name=words[1]).wait_for()


@needs_chromium
async def test_an_approver_decides_at_any_width_in_both_languages(house: House, tmp_path: Path) -> None:
    async with served(house) as at, chromium() as browser:
        number = 0
        for size, (width, height) in WIDTHS.items():
            for language, words in WORDS.items():
                number += 1
                approval_id = await waiting(
                    house_of(house, at), f'name != "{HOSTILE}{number}"', 100 + number
                )
                context = await browser.new_context(
                    viewport={"width": width, "height": height}, locale=language,
                    color_scheme="dark" if number == 4 else "light",
                )  # fmt: skip
                page, troubles = await context.new_page(), list[str]()
                page.set_default_timeout(PATIENCE_MS)
                page.on("console", partial(hear, troubles))
                await walk(page, at, words, f"{size}-{language}", tmp_path)
                approval = await house.ledger.approval(approval_id)
                assert approval is not None
                assert approval.voters == {EYES[0].subject}
                assert troubles == []
                await context.close()


def hear(troubles: list[str], said: ConsoleMessage) -> None:
    """Keep what the browser complains of, but for the icon that it asks every site for."""
    if not said.location["url"].endswith("/favicon.ico"):
        troubles.append(said.text)


def house_of(house: House, at: Served) -> House:
    return replace(house, gate=at.gate)


async def walk(page: Page, at: Served, words: tuple[str, ...], name: str, shots: Path) -> None:
    sign_in, _, one, _, agree, history, sign_out, done, reveal = words
    await page.goto(f"{at.base}/console")
    await page.get_by_role("link", name=sign_in).wait_for()
    is_looked_at_closely = name in ("phone-zh-CN", "desk-en")  # each look takes seconds
    if is_looked_at_closely:
        await check(page, f"{name}-1-login", shots)
    await signed_in(page, at.base, words, EYES[0].subject)
    cookies = {each["name"]: each for each in await page.context.cookies(at.base)}
    assert set(cookies) == {COOKIE}
    session = cookies[COOKIE]
    assert (session["secure"], session["httpOnly"], session["sameSite"]) == (True, True, "Strict")
    if is_looked_at_closely:
        await check(page, f"{name}-2-waiting", shots)
    await page.get_by_role("link", name=one).first.click()  # what waits is the first
    await page.get_by_text(HOSTILE).wait_for()
    assert await page.locator("img").count() == 0
    assert await page.get_by_text(reveal, exact=True).count() == 3
    await check(page, f"{name}-3-approval", shots)
    await page.get_by_role("textbox").fill("好 — <b>fine</b>")
    await page.get_by_role("button", name=agree, exact=True).click()
    await page.get_by_role("status").get_by_text(done).wait_for()
    await page.get_by_text("好 — <b>fine</b>").wait_for()
    if is_looked_at_closely:
        await check(page, f"{name}-4-agreed", shots)
    assert "marketer" not in page.url
    await page.get_by_role("link", name=history).click()
    await page.get_by_role("heading", level=1, name=history).wait_for()
    if is_looked_at_closely:
        await check(page, f"{name}-5-history", shots)
    await page.get_by_role("button", name=sign_out).click()
    await page.get_by_role("heading", level=1, name=sign_in).wait_for()
    await page.goto(f"{at.base}/console/history")
    await page.get_by_role("heading", level=1, name=sign_in).wait_for()


@needs_chromium
async def test_the_keyboard_is_enough_and_no_script_is_needed(house: House, tmp_path: Path) -> None:
    async with served(house) as at, chromium() as browser:
        approval_id = await waiting(house_of(house, at))
        context = await browser.new_context(java_script_enabled=False, locale="en")
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        await signed_in(page, at.base, WORDS["en"], EYES[1].subject)
        await page.keyboard.press("Tab")
        assert await focused(page) == "Skip to the content"
        await until(page, "Export customers · marketer")
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="Your decision").wait_for()
        await until(page, "Reject")
        await page.keyboard.press("Enter")
        await page.get_by_role("status").wait_for()
        await page.screenshot(path=tmp_path / "rejected.png", full_page=True)
        approval = await house.ledger.approval(approval_id)
        assert approval is not None
        assert approval.ending is not None
        assert approval.ending.principal == EYES[1].subject


async def focused(page: Page) -> str:
    return (await page.locator(":focus").inner_text()).strip()


async def until(page: Page, name: str) -> None:
    """Press Tab until what is called so has the focus."""
    for _ in range(30):
        await page.keyboard.press("Tab")
        if await page.locator(":focus").count() and await focused(page) == name:
            return
    raise AssertionError(name)


@needs_chromium
async def test_another_site_can_neither_frame_it_nor_send_its_forms(house: House) -> None:
    async with served(house) as at, chromium() as browser:
        approval_id = await waiting(house_of(house, at))
        agreed = await approve(at.gate, EYES[2], NOTHING, approval_id)
        assert isinstance(agreed, ApprovalReply)
        other = await waiting(house_of(house, at), max_rows=120)
        context = await browser.new_context(locale="en")
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        await signed_in(page, at.base, WORDS["en"], EYES[0].subject)
        await _attack(page, at.base, other)
        approval = await house.ledger.approval(other)
        assert approval is not None
        assert approval.voters == frozenset()


async def _attack(page: Page, base: str, approval_id: str) -> None:
    """Do what a page of another site can do in the browser of somebody who is signed in."""
    evil = base.replace("127.0.0.1", "localhost")  # another origin and another site
    await page.route(
        f"{evil}/**",
        lambda route: route.fulfill(body=_EVIL.format(base, approval_id), content_type="text/html"),
    )
    await page.goto(f"{evil}/page")
    frame = page.frames[-1]
    await frame.wait_for_load_state()
    assert "marketer" not in await frame.content()
    async with page.expect_navigation():
        await page.get_by_role("button", name="win").click()
    assert "This request is not valid" in await page.inner_text("main")


_EVIL = """<!doctype html><iframe src="{0}/console/approvals/{1}"></iframe>
<form method="post" action="{0}/console/approvals/{1}?lang=en"><input name="act" value="approve"><button>win</button></form>"""
