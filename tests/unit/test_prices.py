"""The price table: the package's is whole and sourced; a wrong row is told by its line; the user's own outranks it."""

from __future__ import annotations

from collections import defaultdict
from datetime import date

import pytest

from readiness.errors import ReadinessError
from readiness.prices import HOURS_PER_MONTH, load_prices

HEAD = "region,item,unit,usd,as_of,confirmed,source\n"


def test_every_price_has_a_day_a_page_of_aws_and_a_figure_above_zero():
    for price in load_prices().values():
        assert price.usd > 0
        assert date(2026, 1, 1) <= price.as_of <= date(2026, 12, 31)
        assert price.source.startswith("https://aws.amazon.com/")
        assert price.source.endswith("/pricing/")


def test_every_region_prices_the_same_items():
    items = defaultdict(set)
    for region, item in load_prices():
        items[region].add(item)
    assert {"eu-west-1", "us-east-1"} <= set(items)
    assert len({frozenset(each) for each in items.values()}) == 1


def test_a_price_that_is_not_confirmed_undercuts_none_that_is():
    """Too high rather than too low: where a price is guessed, it is no lower than the lowest that is known."""
    prices = load_prices()
    for (_, item), price in prices.items():
        known = [each.usd for (_, other), each in prices.items() if other == item and each.confirmed != "no"]
        if price.confirmed == "no" and known:
            assert price.usd >= min(known), f"{price.region} {item}"


def test_a_price_by_the_month_is_spread_over_its_hours():
    secret = load_prices()["eu-west-2", "secret"]
    assert secret.usd_of_an_hour == pytest.approx(0.4 / HOURS_PER_MONTH)


def test_the_users_rows_outrank_the_packages_and_add_regions(tmp_path):
    own = tmp_path / "prices.csv"
    own.write_text(
        HEAD
        + "eu-west-1,alb,hour,0.01,2026-11-01,own,https://example.org/contract\n"
        + "eu-north-1,alb,hour,0.02,2026-11-01,own,https://example.org/contract\n"
    )

    prices = load_prices(own)

    assert prices["eu-west-1", "alb"].usd == 0.01
    assert prices["eu-north-1", "alb"].usd == 0.02
    assert prices["us-east-1", "alb"].usd == 0.0225


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("eu-west-1,alb,hour,-1,2026-11-01,own,x", "usd"),
        ("eu-west-1,alb,hour,nan,2026-11-01,own,x", "usd"),
        ("eu-west-1,alb,fortnight,1,2026-11-01,own,x", "unit"),
        ("eu-west-1,alb,hour,1,yesterday,own,x", "as_of"),
        ("eu-west-1,alb,hour,1,2026-11-01,surely,x", "confirmed"),
        ("eu-west-1,alb", "unit"),
    ],
)
def test_a_wrong_row_is_told_by_its_line_and_column(tmp_path, row, said):
    own = tmp_path / "prices.csv"
    own.write_text(HEAD + "eu-west-1,alb-lcu,hour,1,2026-11-01,own,x\n" + row + "\n")

    with pytest.raises(ReadinessError, match=rf"line 3: {said}"):
        load_prices(own)


def test_a_table_that_is_not_there_is_told_by_its_name(tmp_path):
    with pytest.raises(ReadinessError, match=r"nowhere\.csv cannot be read"):
        load_prices(tmp_path / "nowhere.csv")
