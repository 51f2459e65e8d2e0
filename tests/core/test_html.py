"""Charts of reports."""

from __future__ import annotations

import pytest

from uniref.core.html import Histogram


def test_a_histogram_counts_its_values_and_marks_their_mean() -> None:
    chart = Histogram.of("IoU", [0.0, 0.01, 0.71, 1.0])
    counts = {bar.label: bar.height for bar in chart.bars if bar.height}
    assert {title.split(": ")[0]: title.split(": ")[1] for title in counts} == {
        "0.00 to 0.05": "2",
        "0.70 to 0.75": "1",
        "0.95 to 1.00": "1",
    }
    assert list(counts.values()) == [116, 58, 58]  # the highest bar is as high as the chart
    # 43 % of the way from left to right
    assert chart.percent == "43.00"
    assert chart.mean == pytest.approx(chart.left + 0.43 * (chart.width - chart.left), abs=0.05)
