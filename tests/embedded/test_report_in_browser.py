"""The report in a real browser: it renders, complains of nothing, fits its window, and can be used by keyboard."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from readiness.model import Gap
from readiness.report.html import as_html
from tests.embedded import browser
from tests.unit.report.bundles import (
    NASTY,
    Story,
    a_drive,
    a_finding,
    a_waiver,
    content,
    coverage,
    rollback_seen,
)

pytestmark = pytest.mark.skipif(browser.executable() is None, reason=browser.MISSING)

STORIES = {
    "a whole run": Story(
        rollback=rollback_seen(artifact="artifacts/rollback/rows.json.gz"),
        drive=a_drive(failed=60, silent=range(20, 23)),
        findings=tuple(a_finding(number) for number in range(40)),
        measurements=(*coverage("iam", 9), *coverage("network", 0)),
        waivers=(a_waiver(),),
    ),
    "a run that saw nothing": Story(drive=None, rollback=None, alarms=None, runbooks=None),
    "300 findings in strange words": Story(
        findings=tuple(a_finding(number, subject=f"{NASTY}{number}", message=NASTY) for number in range(300)),
        gaps=(Gap(what=NASTY, why=NASTY),),
        waivers=(a_waiver(owner=NASTY, reason=NASTY, ticket=NASTY),),
        changes={"leftovers": (NASTY,), "reasons": (NASTY,), "run_id": NASTY},
    ),
    "an hour": Story(drive=a_drive(3600, per_second=3)),
}


@pytest.fixture(scope="module", params=list(STORIES))
def page(request, tmp_path_factory) -> Path:
    """A report, as a file."""
    folder = tmp_path_factory.mktemp("report")
    file = folder / "report.html"
    file.write_bytes(as_html(content(folder / "bundle", STORIES[request.param])))
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    file = folder / "report.html"
    file.write_bytes(as_html(content(folder / "bundle", STORIES["a whole run"])))
    return file


@pytest.fixture(scope="module")
def tab():
    with browser.browser() as opened:
        yield opened


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_it_fits_its_window_and_the_browser_complains_of_nothing(tab, page, width, scheme):
    tab.events.clear()
    tab.show(page, width=width, scheme=scheme)

    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert (
        tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        == {
            "light": "rgb(255, 255, 255)",
            "dark": "rgb(16, 20, 26)",
        }[scheme]
    ), "the style sheet was let in"
    assert tab.evaluate("document.querySelectorAll('h1').length") == 1
    assert tab.evaluate("document.querySelectorAll('main table').length") >= 1
    assert tab.complaints() == []


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_off_and_no_text_covers_another_part_of_the_page(tab, page, width):
    tab.show(page, width=width)

    too_wide = tab.evaluate(
        "[...document.querySelectorAll('main *, header *')].filter((each) => !each.closest('.scroll, svg, .unseen') &&"
        " each.getBoundingClientRect().right > window.innerWidth + 1).map((each) => each.outerHTML.slice(0, 120))"
    )
    assert too_wide == []


@pytest.mark.parametrize(("width", "shape"), [(1280, "wide"), (390, "narrow")])
def test_plots_are_shown_in_the_shape_that_can_be_read(tab, whole, width, shape):
    tab.show(whole, width=width)
    shown = tab.evaluate(
        "[...document.querySelectorAll('main > section > figure svg.plot')].filter((each) => each.clientWidth)"
        ".map((each) => [each.classList.contains('narrow') ? 'narrow' : 'wide',"
        " parseFloat(getComputedStyle(each.querySelector('text')).fontSize) * each.clientWidth /"
        " each.viewBox.baseVal.width])"
    )

    assert len(shown) >= 5
    assert {name for name, _ in shown} == {shape}
    assert min(size for _, size in shown) >= 11.5, "pixels of the smallest letters"


@pytest.mark.parametrize("width", [1280, 390])
def test_no_letters_of_a_plot_lie_outside_of_it(tab, whole, width):
    tab.show(whole, width=width)
    outside = tab.evaluate(
        "[...document.querySelectorAll('svg.plot')].filter((svg) => svg.clientWidth).flatMap((svg) => {"
        " const box = svg.getBoundingClientRect();"
        " return [...svg.querySelectorAll('text')].filter((each) => { const at = each.getBoundingClientRect();"
        " return Math.max(box.left - at.left, at.right - box.right, box.top - at.top, at.bottom - box.bottom) > 1;"
        " }).map((each) => each.textContent); })"
    )

    assert outside == []


def test_tables_of_long_text_become_cards_where_there_is_little_room_and_stay_tables_for_screen_readers(tab, whole):
    tab.show(whole, width=390)
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node.get("ignored")]

    assert tab.evaluate("getComputedStyle(document.querySelector('table.cards tr')).display") == "block"
    assert {"table", "row", "cell", "columnheader", "rowheader"} <= set(roles)
    assert {"main", "navigation", "banner"} <= set(roles)


def test_it_can_be_used_by_keyboard_and_shows_where_one_is(tab, whole):
    tab.show(whole, width=1280)
    tab.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    assert tab.evaluate("document.activeElement.getBoundingClientRect().top") >= 0, "it comes into view"
    tab.press("Tab")
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

    tab.evaluate("document.querySelector('#load-latency svg.wide').focus()")
    tab.press("ArrowRight")
    assert tab.evaluate("document.querySelector('#load-latency .readout').textContent").startswith("second: 0")
    tab.press("ArrowRight")
    assert tab.evaluate("document.querySelector('#load-latency .readout').textContent").startswith("second: 1")


def test_the_pointer_reads_out_the_numbers_of_the_evidence(tab, whole):
    tab.show(whole, width=1280)
    tab.evaluate("document.querySelector('#load-latency').scrollIntoView({block: 'center'})")
    box = tab.evaluate(
        "(() => { const b = document.querySelector('#load-latency svg.wide').getBoundingClientRect();"
        " return [b.left, b.top, b.width, b.height]; })()"
    )
    tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + box[2] / 2, y=box[1] + box[3] / 2)
    said = tab.evaluate("document.querySelector('#load-latency .readout').textContent")
    second = int(said.split("second: ")[1].split()[0])
    row = tab.evaluate(f"[...document.querySelectorAll('#load-latency tr[data-x]')][{second}].textContent")

    assert "p95, ms: " in said
    assert said.split("p95, ms: ")[1].split()[0] in row


def test_it_is_whole_without_its_script(tab, whole):
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.show(whole, width=1280)
        nodes = tab.call("DOM.getDocument", depth=0)
        text = tab.call("DOM.getOuterHTML", nodeId=nodes["root"]["nodeId"])["outerHTML"]
        assert 'class="readout" aria-hidden="true" hidden' in text
        assert text.count("<svg") > 5
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)


def test_it_prints_in_black_on_white_with_what_was_folded_away_and_nothing_cut_off(tab, whole, tmp_path):
    tab.show(whole, width=794, scheme="dark", medium="print")

    assert tab.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.evaluate("document.querySelector('nav').getClientRects().length") == 0
    assert tab.evaluate("document.documentElement.scrollWidth") <= 794
    assert tab.evaluate("document.querySelector('section > details table').getBoundingClientRect().height") > 50
    tab.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_what_a_page_does_wrong_is_heard(tab, tmp_path):
    """The other tests rest on silence; it has to mean something."""
    bad = tmp_path / "bad.html"
    policy = (
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src http:; script-src 'none'\">"
    )
    bad.write_text(f'<!doctype html>{policy}<img src="http://127.0.0.1:9/x.png"><script>1</script>')
    tab.events.clear()
    tab.show(bad, width=390)
    said = " ".join(tab.complaints())
    tab.events.clear()

    assert "asked the network for http://127.0.0.1:9/x.png" in said
    assert "Content Security Policy" in said


def test_the_browser_is_gone_afterwards():
    with browser.browser() as opened:
        (mine,) = [child for child in psutil.Process().children() if child.pid == opened.pid]
        family = [mine, *mine.children(recursive=True)]

    assert [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
