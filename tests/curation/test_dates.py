"""Dates of any of the usual forms are read, and no more is made of them than they say."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import texts
from teichaku.curation.dates import days_of

MAY_DAY = (date(2024, 5, 1), date(2024, 5, 1))
MAY = (date(2024, 5, 1), date(2024, 5, 31))
YEAR = (date(2024, 1, 1), date(2024, 12, 31))


@pytest.mark.parametrize(
    ("written", "days"),
    [
        *((text, MAY_DAY) for text in (
            "2024-05-01", "2024/5/1", "2024.05.01", "２０２４年５月１日", "20240501", "令和6年5月1日",
            "2024-05-01T09:30:00+09:00", "May 1, 2024", "1 May 2024", "1st may 2024",
            "2567-05-01", "๒๕๖๗-๐๕-๐๑", "2024年5月1日（水）更新",
        )),
        *((text, MAY) for text in ("2024-05", "2024年5月", "May 2024")),
        *((text, YEAR) for text in ("2024", "2024年", "令和6年", "01/05/2024", "พ.ศ. 2567")),
        ("令和元年", (date(2019, 1, 1), date(2019, 12, 31))),
        ("2024-02", (date(2024, 2, 1), date(2024, 2, 29))),
        *((text, None) for text in ("", "昨日", "2024-13-01", "2023-02-30", "第12条", "12345")),
    ],
)  # fmt: skip
def test_a_date_means_the_days_that_it_says(written: str, days: tuple[date, date] | None) -> None:
    assert days_of(written) == days


@given(st.dates(date(1000, 1, 1), date(2399, 12, 31)))
def test_what_is_written_in_full_is_read_as_it_is(day: date) -> None:
    assert days_of(day.isoformat()) == (day, day)
    assert days_of(f"{day.year}年{day.month}月{day.day}日") == (day, day)


@given(texts)
def test_any_text_is_a_date_or_none(text: str) -> None:
    days = days_of(text)
    assert days is None or days[0] <= days[1]
