"""The price table: list prices of what a clone is made of, with their day, their source, and whether confirmed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from readiness.errors import ReadinessError
from readiness.model import record

TABLE: Final = Path(__file__).parent / "data" / "prices.csv"
HOURS_PER_MONTH: Final = 730
"""As AWS's own calculator counts a month."""

Unit = Literal["hour", "GB-hour", "GB", "GB-month", "month", "million", "run", "GB-second"]
_HOURS_IN: Final[Mapping[str, float]] = {"month": HOURS_PER_MONTH, "GB-month": HOURS_PER_MONTH}


@record
class Price:
    """What one unit of something costs in a region.

    Attributes:
        usd: US dollars for one *unit*, without taxes, discounts or a free tier.
        as_of: The day for which the figure was found.
        confirmed: ``price-list``: stands in a copy of AWS's price list; ``bill``: divides out of a published bill;
            ``no``: could not be confirmed, and is set too high rather than too low; ``own``: the user's own.
        source: Where AWS publishes it.
    """

    region: str
    item: str
    unit: Unit
    usd: Annotated[float, Field(ge=0)]
    as_of: date
    confirmed: Literal["price-list", "bill", "no", "own"]
    source: str

    @property
    def usd_of_an_hour(self) -> float:
        """Dollars for one unit held, or used up, in each hour."""
        return self.usd / _HOURS_IN.get(self.unit, 1)


Prices = Mapping[tuple[str, str], Price]
"""Region and item -> price."""


def load_prices(own: Path | None = None) -> Prices:
    """Return the package's price table, with the rows of the user's own over it.

    Args:
        own: CSV with the same columns: negotiated prices, other regions, other node types.

    Raises:
        ReadinessError: a table cannot be read, or a row of it is wrong.
    """
    tables = [TABLE] if own is None else [TABLE, own]
    return {(price.region, price.item): price for table in tables for price in _rows(table)}


def _rows(path: Path) -> Iterable[Price]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReadinessError(f"The price table {path} cannot be read: {error}.", hint="Name a CSV file.") from error
    adapter = TypeAdapter(Price)
    for number, row in enumerate(rows, start=2):
        try:
            yield adapter.validate_python(row)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            column = ".".join(str(part) for part in first["loc"])
            raise ReadinessError(
                f"{path}, line {number}: {column}: {first['msg']}.",
                hint="The columns are region, item, unit, usd, as_of, confirmed, source.",
            ) from None
