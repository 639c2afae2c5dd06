"""The panel's small plots: what stands where, measured in the drawing."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest

from HER2ViTLib.workflow import svg
from HER2ViTLib.workflow.drawings import (
    DARK,
    HEIGHT,
    LIGHT,
    WIDTH,
    Score,
    areas_svg,
    enhancement_svg,
    probabilities_svg,
    slice_at,
)

NAMESPACE = "{http://www.w3.org/2000/svg}"
DRAWN_BY_QT = {"svg", "rect", "line", "polyline", "path", "circle", "text"}
SIGNALS = (200.0, 420.0, 500.0, 460.0)
TIMES_S = (-30.0, 20.0, 90.0, 160.0)
AREAS_MM2 = (0.0, 0.0, 30.0, 80.0, 0.0, 240.0, 100.0, 0.0, 0.0)
SCORES = (Score("Task 1: low/positive", 0.88, 0.85), Score("Task 2: low", 0.69, 0.71))
PROBABILITIES = {"zero": 0.12, "low": 0.607, "positive": 0.273}


def parsed(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)


def elements(drawing: str, name: str) -> list[ElementTree.Element]:
    return parsed(drawing).findall(f"{NAMESPACE}{name}")


def texts(drawing: str) -> list[str]:
    return [element.text or "" for element in elements(drawing, "text")]


def place_of(drawing: str, content: str) -> tuple[float, float]:
    """Where a text stands."""
    (found,) = [element for element in elements(drawing, "text") if element.text == content]
    return float(found.get("x")), float(found.get("y"))


def points(drawing: str) -> list[tuple[float, float]]:
    (curve,) = elements(drawing, "polyline")
    pairs = (pair.split(",") for pair in curve.get("points").split())
    return [(float(x), float(y)) for x, y in pairs]


def on_axis(places: dict[float, float], pixel: float) -> float:
    """The value at a pixel, of an axis with numbers {value: pixel}."""
    (low, low_pixel), *_, (high, high_pixel) = sorted(places.items())
    return low + (pixel - low_pixel) / (high_pixel - low_pixel) * (high - low)


def bottom_axis(drawing: str) -> dict[float, float]:
    """{number: pixel} of the numbers below."""
    numbers = [element for element in elements(drawing, "text") if element.get("text-anchor") == "middle"]
    return {float(element.text): float(element.get("x")) for element in numbers}


def left_axis(drawing: str) -> dict[float, float]:
    """{number: pixel} of the numbers on the left."""
    numbers = [element for element in elements(drawing, "text") if element.get("text-anchor") == "end"]
    written = [element for element in numbers if element.text.replace(".", "").isdigit()]
    return {float(element.text): float(element.get("y")) - 4 for element in written}


# Enhancement


def test_the_curve_can_be_read_off_its_axes():
    drawing = enhancement_svg(SIGNALS, TIMES_S, early=2, pre=0, colours=LIGHT)
    seconds = bottom_axis(drawing)
    percent = left_axis(drawing)
    for (x, y), signal, time in zip(points(drawing), SIGNALS, TIMES_S, strict=True):
        assert on_axis(seconds, x) == pytest.approx(time, abs=0.3)
        assert on_axis(percent, y) == pytest.approx(100 * signal / SIGNALS[0], abs=1)
    assert "Mean signal of the outline, % of phase 0" in texts(drawing)


def test_the_early_phase_is_marked_and_named():
    drawing = enhancement_svg(SIGNALS, TIMES_S, early=2, pre=0, colours=DARK)
    (mark,) = [one for one in elements(drawing, "circle") if one.get("fill") == DARK.marked]
    assert (float(mark.get("cx")), float(mark.get("cy"))) == points(drawing)[2]
    assert "early phase 2" in texts(drawing)
    assert len(elements(drawing, "circle")) == len(SIGNALS)


def test_without_times_phases_are_counted_and_without_a_pre_contrast_phase_signals_are_raw():
    drawing = enhancement_svg(SIGNALS, None, early=None, pre=None, colours=LIGHT)
    assert [on_axis(bottom_axis(drawing), x) for x, _ in points(drawing)] == pytest.approx(
        [0, 1, 2, 3], abs=0.01
    )
    signals = [on_axis(left_axis(drawing), y) for _, y in points(drawing)]
    assert signals == pytest.approx(SIGNALS, abs=2)
    assert "Mean signal of the outline, as stored" in texts(drawing)
    assert not [one for one in elements(drawing, "circle") if one.get("fill") == LIGHT.marked]


def test_a_pre_contrast_phase_of_no_signal_is_no_reference():
    assert "Mean signal of the outline, as stored" in texts(enhancement_svg((0, 3), None, 1, 0, LIGHT))


def test_the_curve_goes_through_phases_in_time_order():
    drawing = enhancement_svg(SIGNALS, (160, 20, 90, -30), 1, 3, LIGHT)
    across = [x for x, _ in points(drawing)]
    assert across == sorted(across)


# Areas


def bars(drawing: str) -> list[tuple[float, float, float, str]]:
    """Left and right edge, height and colour of each bar."""
    found = []
    for bar in elements(drawing, "rect"):
        left = float(bar.get("x"))
        found.append((left, left + float(bar.get("width")), float(bar.get("height")), bar.get("fill")))
    return found


def test_a_bar_for_each_outlined_slice_as_high_as_its_area():
    drawing = areas_svg(AREAS_MM2, largest=5, chosen=None, colours=LIGHT)
    heights = [height for _, _, height, _ in bars(drawing)]
    assert [height / heights[2] for height in heights] == pytest.approx(
        [30 / 240, 80 / 240, 1, 100 / 240], abs=0.01
    )
    assert [colour == LIGHT.marked for *_, colour in bars(drawing)] == [False, False, True, False]
    assert "largest slice 5: 240" in texts(drawing)


def test_another_slice_chosen_is_marked_in_its_place():
    drawing = areas_svg(AREAS_MM2, largest=5, chosen=3, colours=LIGHT)
    assert [colour == LIGHT.marked for *_, colour in bars(drawing)] == [False, True, False, False]
    assert "slice 3: 80; largest slice 5: 240" in texts(drawing)


@pytest.mark.parametrize("width", [200, WIDTH, 1000])
def test_a_click_on_a_bar_is_a_click_on_its_slice(width):
    drawing = areas_svg(AREAS_MM2, 5, None, LIGHT, width)
    edges = zip(bars(drawing), (2, 3, 5, 6), strict=True)
    for (left, right, _, _), index in edges:
        assert {slice_at(x, AREAS_MM2, width) for x in (left, (left + right) / 2, right)} == {index}


def test_a_click_beside_the_bars_or_on_a_slice_without_outline_chooses_none():
    drawing = areas_svg(AREAS_MM2, 5, None, LIGHT)
    second = bars(drawing)[1]
    step = second[0] - bars(drawing)[0][0]
    hole = second[0] + 1.5 * step
    beyond = bars(drawing)[-1][1] + step / 2
    assert [slice_at(x, AREAS_MM2) for x in (-5, 0, hole, beyond, WIDTH - 1, WIDTH)] == [None] * 6
    assert slice_at(100, (0.0, 0.0)) is None


def test_the_number_below_a_bar_is_its_slice():
    drawing = areas_svg(AREAS_MM2, 5, 3, LIGHT)
    assert slice_at(place_of(drawing, "5")[0], AREAS_MM2) == 5
    assert slice_at(place_of(drawing, "3")[0], AREAS_MM2) == 3


def test_an_empty_outline_is_said_to_be_empty():
    assert texts(areas_svg((0.0, 0.0), 0, None, LIGHT)) == ["The outline is empty."]


# Probabilities


def test_bars_are_as_long_as_probabilities_and_the_call_is_marked():
    drawing = probabilities_svg(PROBABILITIES, SCORES, "positive", LIGHT)
    lengths = [right - left for left, right, _, _ in bars(drawing)]
    full = lengths[0] / PROBABILITIES["zero"]
    expected = [*PROBABILITIES.values(), 0.88, 0.69]
    assert [length / full for length in lengths] == pytest.approx(expected, abs=0.002)
    colours = [colour for *_, colour in bars(drawing)]
    assert colours == [LIGHT.accent, LIGHT.accent, LIGHT.marked, LIGHT.accent, LIGHT.faint]
    assert {"12%", "61%", "27%", "0.880 ≥ 0.850", "0.690 < 0.710"} <= set(texts(drawing))


def test_the_threshold_is_marked_on_the_scale_of_its_bar():
    drawing = probabilities_svg(None, SCORES, None, LIGHT)
    marks = [
        float(one.get("x1")) for one in elements(drawing, "line") if one.get("stroke") == LIGHT.foreground
    ]
    for mark, (left, right, _, _), score in zip(marks, bars(drawing), SCORES, strict=True):
        assert (mark - left) / (right - left) == pytest.approx(score.threshold / score.value, abs=0.002)


# All of them

DRAWINGS = {
    "enhancement": lambda colours: enhancement_svg(SIGNALS, TIMES_S, 2, 0, colours),
    "two phases": lambda colours: enhancement_svg((1.0, 2.0), None, 1, 0, colours),
    "many phases": lambda colours: enhancement_svg((32000.0, 29000.0) * 20, None, 7, None, colours),
    "one phase": lambda colours: enhancement_svg((0.0,), None, 0, None, colours),
    "fast": lambda colours: enhancement_svg(range(1, 61), [3.3 * n for n in range(60)], 30, 0, colours),
    "areas": lambda colours: areas_svg(AREAS_MM2, 5, 3, colours),
    "one slice": lambda colours: areas_svg((12.5,), 0, None, colours),
    "many slices": lambda colours: areas_svg([0.0] * 900 + [12345.0] * 190, 900, 1000, colours),
    "probabilities": lambda colours: probabilities_svg(PROBABILITIES, SCORES, "low", colours),
    "three tasks": lambda colours: probabilities_svg(
        {"zero": 0, "low": 1, "positive": 0}, (*SCORES, Score("Task 3: positive", 1, 1)), "low", colours
    ),
    "one task": lambda colours: probabilities_svg(None, SCORES[:1], None, colours),
    "nothing": lambda colours: probabilities_svg(None, (), None, colours),
}


def extent(text: ElementTree.Element) -> tuple[float, float]:
    """Left and right edge of a text, from a generous guess of its width."""
    width = svg.CHARACTER_PX * len(text.text)
    shift = {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor")]
    left = float(text.get("x")) - shift * width
    return left, left + width


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_nothing_is_cut_off_or_written_over_and_qt_knows_every_element(name, colours):
    drawing = DRAWINGS[name](colours)
    assert {element.tag.removeprefix(NAMESPACE) for element in parsed(drawing).iter()} <= DRAWN_BY_QT
    assert "style" not in drawing and "class" not in drawing
    for text in elements(drawing, "text"):
        left, right = extent(text)
        assert left >= -1 and right <= WIDTH + 1, text.text
        assert 10 <= float(text.get("y")) <= HEIGHT - 3, text.text
    for one, other in itertools.combinations(elements(drawing, "text"), 2):
        if abs(float(one.get("y")) - float(other.get("y"))) < 9:
            first, second = sorted((extent(one), extent(other)))
            assert first[1] <= second[0] + 4, (one.text, other.text)


@pytest.mark.parametrize(
    ("low", "high", "most"),
    [(0, 1, 4), (-40, 230, 6), (99.9, 100.1, 4), (1e-7, 3e-7, 4), (0, 65535, 4), (1, 2, 2)],
)
def test_ticks_are_few_and_inside(low, high, most):
    found = svg.ticks(low, high, most)
    assert 1 <= len(found) <= most
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)


def test_what_a_name_holds_cannot_break_the_drawing():
    drawing = probabilities_svg(None, [Score('<script>"&', 0.5, 0.5)], None, LIGHT)
    assert '<script>"&' in texts(drawing)
