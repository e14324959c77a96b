"""The pages in a real browser: on a desk, on a phone and in the dark; by mouse and by keyboard; nothing fetched."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ahsar.lab.report import colours
from ahsar.lab.report.comparison import page as comparison
from ahsar.lab.report.matrix import page as matrix_page
from ahsar.lab.report.population import page as population
from ahsar.lab.report.robustness import page as robustness
from ahsar.lab.results import matrix
from ahsar.lab.results.population import Net, take
from tests.lab.report.browser import PHONE, WIDE, opened, started, violations
from tests.lab.report.test_comparison import records, save, trial
from tests.lab.report.test_population import DRAW, NETS, WORKLOAD
from tests.lab.report.test_population import record as of_net
from tests.lab.report.test_robustness import REST
from tests.lab.report.test_robustness import cells as scored

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.timeout(900)  # a browser is slow where others work as well
KINDS = ("comparison", "matrix", "population", "robustness")
PAIR = ("baseline", "ahsar", "constant@0.4")
# of the cells of the matrix, by name: the pace of AHSAR
PACES = {"fashion-conv8-plain": 0.3, "cifar10-vgg11": 1.4, "digits-mlp": 0.6, "fashion-mlp": 0.9, "dvs-sew": 0.45}


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with started() as found:
        yield found


@pytest.fixture(scope="module")
def pages(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind, of small made-up results; only where there is a browser to see them."""
    folder = tmp_path_factory.mktemp("pages")
    rows = [*records(("baseline", "ahsar", "constant@0.5", "constant@0.7"), seeds=2), trial("ahsar", 9, failed=True)]
    made = {"comparison": comparison.write(save(folder / "comparison", rows))}
    for name, pace in PACES.items():
        mine = {"ahsar": pace, "baseline": 1.0, "constant@0.4": 0.7}
        save(folder / "matrix" / name, [trial(arm, seed, pace=mine[arm]) for arm in PAIR for seed in range(2)])
    matrix.take(folder / "matrix", "small", True, {name: {"data": name} for name in PACES}, "ahsar compare small", 0.4)
    made["matrix"] = matrix_page.write(folder / "matrix")
    names = [f"p-{i:04d}" for i in range(len(NETS))]
    nets = {name: Net(DRAW["axes"], 10, WORKLOAD) for name in names}
    take(folder / "population", "p", "abc", False, nets, "ahsar population p")
    of_nets = [of_net(arm, test, i) for i, tests in enumerate(NETS) for arm, test in tests.items()]
    (folder / "population" / "trials.jsonl").write_text("".join(json.dumps(row) + "\n" for row in of_nets))
    made["population"] = population.write(folder / "population")
    (folder / "robustness").mkdir()
    modes = ("baseline_frozen", "baseline_norm", "ahsar_frozen", "ahsar_norm", "ahsar_continual")
    values = {mode: (0.7 + 0.02 * i, 0.8) for i, mode in enumerate(modes)}
    robustness.write(folder / "robustness", {**REST, "accuracy": scored(**values)})
    made["robustness"] = folder / "robustness" / "robustness.html"
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (PHONE, "light"), (PHONE, "dark")])
def test_no_reader_is_shut_out(browser: "Browser", pages: dict[str, Path], kind: str, width: int, scheme: str) -> None:
    with opened(browser, pages[kind], width, scheme) as page:
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        # the page itself never scrolls sideways, whatever is on it
        assert page.evaluate("document.documentElement.scrollWidth") == width
        letters = page.evaluate(
            "() => [...new Set([...document.querySelectorAll('figure svg text')].map(text => getComputedStyle(text).fill))]"
        )
        theme = colours.DARK if scheme == "dark" else colours.LIGHT
        assert set(letters) <= {computed(colour) for colour in (*theme.values(), colours.ON_LIGHT, colours.ON_DARK)}
        assert violations(page) == []


def computed(colour: str) -> str:
    """A colour as browsers tell it."""
    return f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"


def test_tables_and_pictures_say_what_they_are(browser: "Browser", pages: dict[str, Path]) -> None:
    for kind in KINDS:
        with opened(browser, pages[kind], PHONE) as page:
            for table in page.locator("table").all():
                title = table.locator("caption").inner_text()
                assert page.get_by_role("region", name=title, exact=True).count() == 1
                cells = table.locator("tbody tr").evaluate_all("rows => rows.map(row => row.cells[0].scope)")
                assert set(cells) == {"row"}
                assert set(table.locator("thead th").evaluate_all("cells => cells.map(cell => cell.scope)")) == {"col"}
            shown = [picture for picture in page.get_by_role("img").all() if picture.is_visible()]
            assert len(shown) == page.locator("figure").count() > 0
            for picture in shown:
                said = picture.get_attribute("aria-label") or ""
                assert len(said) > 40 and any(letter.isdigit() for letter in said), said


def test_a_phone_gets_stacked_pictures_whole_and_a_desk_the_wide_ones(browser: "Browser", pages: dict[str, Path]) -> None:
    sides = "svgs => svgs.filter(svg => svg.getClientRects().length).map(svg => svg.getBoundingClientRect())"
    for width in (WIDE, PHONE):
        with opened(browser, pages["comparison"], width) as page:
            boxes = page.locator("figure svg").evaluate_all(sides)
            assert len(boxes) == 5 and all(box["left"] >= 0 and box["right"] <= width for box in boxes)
            first = boxes[0]["width"] / boxes[0]["height"]
            assert first > 2 if width == WIDE else first < 1


def test_the_first_column_stays_and_the_rest_scrolls_by_keyboard(browser: "Browser", pages: dict[str, Path]) -> None:
    with opened(browser, pages["matrix"], PHONE) as page:
        area = page.get_by_role("region", name="Every cell")
        area.focus()
        row = area.locator("tbody tr").first
        first, second = row.locator("th"), row.locator("td").first
        before = [found.bounding_box() for found in (first, second)]
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        page.wait_for_function("area => area.scrollLeft > 60", arg=area.element_handle())
        page.wait_for_timeout(200)
        after = [found.bounding_box() for found in (first, second)]
        assert before[0] and after[0] and before[1] and after[1]
        assert after[0]["x"] == pytest.approx(before[0]["x"], abs=1) and after[1]["x"] < before[1]["x"] - 50


def column(page: "Page", number: int) -> list[str]:
    """The cells of a column of the table of every cell that are shown, in their order."""
    every = page.get_by_role("region", name="Every cell").locator("tbody tr")
    return every.evaluate_all("(rows, i) => rows.filter(row => !row.hidden).map(row => row.cells[i].innerText)", number)


def speeds(page: "Page") -> list[float]:
    return [float(cell.split("×")[0].lstrip("≥≤ ")) for cell in column(page, 2)]


def test_rows_sort_by_click_and_by_keyboard(browser: "Browser", pages: dict[str, Path]) -> None:
    with opened(browser, pages["matrix"]) as page:
        table = page.get_by_role("region", name="Every cell")
        built = speeds(page)
        assert column(page, 0) == list(PACES) and built != sorted(built)
        title = table.get_by_role("columnheader", name="speed-up")
        assert title.get_attribute("aria-sort") is None
        title.get_by_role("button").click()
        assert title.get_attribute("aria-sort") == "ascending" and speeds(page) == sorted(built)
        page.keyboard.press("Enter")  # the button has the focus
        assert title.get_attribute("aria-sort") == "descending" and speeds(page) == sorted(built, reverse=True)
        name = table.get_by_role("columnheader").first
        name.get_by_role("button").focus()
        page.keyboard.press("Space")
        assert column(page, 0) == sorted(PACES)
        assert name.get_attribute("aria-sort") == "ascending" and title.get_attribute("aria-sort") is None
        assert violations(page) == []


def test_rows_are_filtered_by_words_and_it_is_said_how_many_are_left(browser: "Browser", pages: dict[str, Path]) -> None:
    with opened(browser, pages["matrix"]) as page:
        field = page.get_by_role("region", name="Every cell").locator("xpath=preceding-sibling::p[1]").get_by_role("searchbox")
        field.focus()
        page.keyboard.type("FASHION mlp")
        said = field.locator("xpath=ancestor::p").get_by_role("status")
        assert column(page, 0) == ["fashion-mlp"] and said.inner_text() == "1 of 5 rows"
        field.fill("fashion")
        assert column(page, 0) == ["fashion-conv8-plain", "fashion-mlp"]
        field.fill("")
        assert column(page, 0) == list(PACES) and said.inner_text() == ""


def test_the_page_is_whole_without_scripts(browser: "Browser", pages: dict[str, Path]) -> None:
    with opened(browser, pages["matrix"], scripts=False) as page:
        assert page.get_by_role("button").count() == page.get_by_role("searchbox").count() == 0
        for name in PACES:
            assert page.get_by_role("rowheader", name=name).first.is_visible()


def test_missing_numbers_come_last_either_way(browser: "Browser", pages: dict[str, Path], tmp_path: Path) -> None:
    cells = ["2", "–", "-1", "1.5 k", "≥ 3.00×", "neither", "10 (5)"]
    rows = [[f"row {i}", cell] for i, cell in enumerate(cells)]
    content: dict[str, Any] = {"title": "t", "headline": "h", "findings": [], "figures": [], "failures": [], "facts": {}}
    table = {"title": "Every cell", "header": ["cell", "number"], "rows": rows, "note": "", "sorts": True}
    path = tmp_path / "page.html"
    path.write_text(matrix_page.render({**content, "tables": [table]}), encoding="utf-8")
    with opened(browser, path) as page:
        button = page.get_by_role("button", name="number")
        for order in (["-1", "2", "≥ 3.00×", "10", "1.5 k"], ["1.5 k", "10", "≥ 3.00×", "2", "-1"]):
            button.click()
            assert [cell.split("\n")[0] for cell in column(page, 1)] == [*order, "–", "neither"]
