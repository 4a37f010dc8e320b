"""Dates as people write them, read as far as they go: a year alone is all of its days."""

import calendar
import re
import unicodedata
from datetime import date, timedelta

#: The year before the first of an era.
ERAS = {"令和": 2018, "平成": 1988, "昭和": 1925, "大正": 1911, "明治": 1867}
_ERA = re.compile(rf"({'|'.join(ERAS)})\s*(\d+|元)")
#: Thai years count from 543 before the common era; none of these years is one of ours.
_BUDDHIST = (2400, 2700, 543)
_NUMBERS = re.compile(
    r"(?<!\d)(?P<year>\d{4})(?:\s*[-/.年]\s*(?P<month>\d{1,2})(?!\d)"
    r"(?:\s*[-/.月]\s*(?P<day>\d{1,2})(?!\d))?|(?P<tight>\d{4})(?!\d)|(?!\d))"
)
_MONTHS = {name: n for n, name in enumerate(calendar.month_abbr) if name}
_MONTH = "(?P<name>" + "|".join(_MONTHS) + r")[a-z]*\.?"
_NAMED = (
    re.compile(rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+{_MONTH},?\s+(?P<year>\d{{4}})", re.I),
    re.compile(rf"{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})", re.I),
    re.compile(rf"{_MONTH}\s+(?P<year>\d{{4}})", re.I),
)


def days_of(text: str) -> tuple[date, date] | None:
    """The first and the last day that a date may mean: of ``2024-05`` all of May; None where no
    date is read.

    Read are years of four digits with month and day behind them (``2024-05-01``, ``2024年5月``,
    ``20240501``), Japanese eras, Thai years, and English months. The order of day and month in
    ``01/05/2024`` is not known: such a date means all of its year.
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    plain = "".join(str(unicodedata.digit(c)) if c.isdigit() else c for c in plain)
    plain = _ERA.sub(_of_era, plain)
    for pattern in _NAMED:
        if found := pattern.search(plain):
            parts = found.groupdict()
            month = _MONTHS[parts["name"][:3].title()]
            return _days(int(parts["year"]), month, int(parts.get("day") or 0))
    found = _NUMBERS.search(plain)
    if found is None:
        return None
    year, month, day = (int(found[part] or 0) for part in ("year", "month", "day"))
    if found["tight"]:
        month, day = int(found["tight"][:2]), int(found["tight"][2:])
    return _days(year, month, day)


def _of_era(found: re.Match[str]) -> str:
    """The year of a Japanese era as one of ours."""
    year = 1 if found[2] == "元" else int(found[2])
    return f"{ERAS[found[1]] + year:04d}"


def _days(year: int, month: int, day: int) -> tuple[date, date] | None:
    """The first and the last day; 0 stands for what is not told."""
    first, last, ahead = _BUDDHIST
    if first <= year < last:
        year -= ahead
    try:
        if not month:
            return date(year, 1, 1), date(year, 12, 31)
        start = date(year, month, day or 1)
        end = start if day else start + timedelta(calendar.monthrange(year, month)[1] - 1)
    except ValueError:
        return None
    return start, end
