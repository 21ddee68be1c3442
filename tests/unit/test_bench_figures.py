"""What the benchmarks make of their figures: medians, ratios against their bars, and the pictures."""

from xml.etree import ElementTree as ET

import pytest

from bench.picture import bars_picture, curves_picture
from bench.ratios import Bar, Ratio, measured_ratios
from bench.trials import Results, Trial

FLOOR = Bar("rate", 2, 4, lambda _: 0.0)
CEILING = Bar("latency", 3, 1.5, lambda _: 0.0, ceiling=True)


def test_void_trials_count_for_nothing() -> None:
    """The median is that of the valid rounds."""
    rates = [(10.0, []), (30.0, []), (999.0, ["oversold"]), (20.0, [])]
    results = Results([Trial("contest", "peer", rate, problems=problems) for rate, problems in rates])
    assert results.rate("contest", "peer") == 20
    assert results.rate("contest", "nobody") == 0


@pytest.mark.parametrize(
    ("bar", "value", "verdict"),
    [
        (FLOOR, 4, "goal"),
        (FLOOR, 2, "must"),
        (FLOOR, 1.99, "missed"),
        (CEILING, 1.5, "goal"),
        (CEILING, 3, "must"),
        (CEILING, 3.01, "missed"),
        (FLOOR, None, "not measured"),
    ],
)
def test_a_ratio_is_held_to_its_bars(bar: Bar, value: float | None, verdict: str) -> None:
    """Larger is better, but for ceilings."""
    assert Ratio(bar, value).verdict == verdict


def test_ratios_without_trials_are_not_measured() -> None:
    """A run of some contests only says nothing about the others."""
    assert {ratio.verdict for ratio in measured_ratios(Results())} == {"not measured"}


def test_the_pictures_are_well_formed_and_show_every_name() -> None:
    """Whatever a contestant is called."""
    bars = bars_picture({"rates": {"ours & <theirs>": 10.0, "peer": 0.0}}, frozenset({"peer"}))
    curves = curves_picture("latency", {"50 %": {"50": 1.0, "99": 20.0, "100": 150.0}, "80 %": {"50": 0.0}})
    for picture, names in ((bars, {"ours & <theirs>", "peer"}), (curves, {"50 %", "80 %", "p99", "max"})):
        texts = {element.text for element in ET.fromstring(picture).iter() if element.text}
        assert names <= texts
    assert curves_picture("nothing", {}).startswith("<svg")
