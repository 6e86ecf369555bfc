"""What a timer's text may say, and where it goes wrong."""

from __future__ import annotations

import pytest

from runtime.timers.cron_text import CRON_TEXT_MAX, CronFields, CronTextError, read_cron_text

ALL = {
    "second": 0,
    "minutes": frozenset(range(60)),
    "hours": frozenset(range(24)),
    "days": frozenset(range(1, 32)),
    "months": frozenset(range(1, 13)),
    "weekdays": frozenset(range(7)),
}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("0 * * * * *", {}),
        ("59 * * * * ?", {"second": 59}),
        ("05 * * ? * ?", {"second": 5}),
        ("cron:0 0 * * * *", {"minutes": {0}}),
        ("0 */5 * * * * *", {"minutes": set(range(0, 60, 5))}),
        ("cron:0 0 0 * * * *", {"minutes": {0}, "hours": {0}}),
        ("0 5/20 * * * *", {"minutes": {5, 25, 45}}),
        ("0 10-20/5,59 * * * *", {"minutes": {10, 15, 20, 59}}),
        ("0 */60 * * * *", {"minutes": {0}}),
        ("0 * 8-10,22 * * *", {"hours": {8, 9, 10, 22}}),
        ("0 * * 1,15 * ?", {"days": {1, 15}}),
        ("0 * * */10 * *", {"days": {1, 11, 21, 31}}),
        ("0 * * 31 * *", {"days": {31}}),
        ("0 * * 29 2 *", {"days": {29}, "months": {2}}),
        ("0 * * * JAN-mar,Dec *", {"months": {1, 2, 3, 12}}),
        ("0 * * * * MON-FRI", {"weekdays": {1, 2, 3, 4, 5}}),
        ("0 * * ? * 0", {"weekdays": {0}}),
        ("0 * * ? * 7", {"weekdays": {0}}),
        ("0 * * * * SUN,6", {"weekdays": {0, 6}}),
        ("0 * * * * SAT-SUN", {"weekdays": {0, 6}}),
        ("0 * * * * 5-7", {"weekdays": {0, 5, 6}}),
        ("0 * * * * SUN-TUE", {"weekdays": {0, 1, 2}}),
        ("0 * * * * */2", {"weekdays": {0, 2, 4, 6}}),
        ("0 * * * * MON/2", {"weekdays": {0, 1, 3, 5}}),
        ("0 * * * JUL wed", {"months": {7}, "weekdays": {3}}),
    ],
)
def test_text_means(text: str, fields: dict[str, object]) -> None:
    assert read_cron_text(text) == CronFields(**{**ALL, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("", 1, "no field"),
        (" 0 * * * * *", 1, "none at the ends"),
        ("0 * * * * * ", 13, "none at the ends"),
        ("cron: 0 * * * * *", 6, "none at the ends"),
        ("cron:", 6, "no field"),
        ("0  * * * * *", 3, "none in a row"),
        ("* * * * *", 10, "5 fields"),
        ("0\t* * * * *", 12, "5 fields"),
        ("0 * * * * * 2026", 13, "years are not supported"),
        ("0 * * * * * ?", 13, "years are not supported"),
        ("0 * * * * * * *", 15, "8 fields"),
        ("* * * * * *", 1, "one plain number"),
        ("*/10 * * * * *", 1, "at most once a minute"),
        ("0,30 * * * * *", 1, "one plain number"),
        ("60 * * * * *", 1, "one plain number"),
        ("cron:x * * * * *", 6, "one plain number"),
        ("0 60 * * * *", 3, "'60' is no minute: 0 to 59"),
        ("0 007 * * * *", 3, "'007' is no minute"),
        ("0 ٣ * * * *", 3, "is no minute"),
        ("0 * 24 * * *", 5, "is no hour"),
        ("0 * * 0 * *", 7, "is no day: 1 to 31"),
        ("0 * * * 13 *", 9, "is no month: 1 to 12 or JAN to DEC"),
        ("0 * * * * 8", 11, "is no weekday: 0 to 7 or SUN to SAT"),
        ("0 * * * MON *", 9, "is no month"),
        ("0 ? * * * *", 3, "'?' is no minute"),
        ("0 * * ?,1 * *", 7, "is no day"),
        ("0 1- * * * *", 5, "the field minute lacks the end of a range"),
        ("0 1, * * * *", 5, "the field minute lacks a value"),
        ("0 1,,2 * * * *", 5, "',' is no minute"),
        ("0 -5 * * * *", 3, "'-' is no minute"),
        ("0 */ * * * *", 5, "lacks a step"),
        ("0 */0 * * * *", 5, "a step in the field minute is 1 to 60"),
        ("0 */61 * * * *", 5, "a step in the field minute is 1 to 60"),
        ("0 */x * * * *", 5, "a step"),
        ("0 20-10 * * * *", 6, "the range ends with 10, before it begins"),
        ("0 * * * * FRI-MON", 15, "before it begins"),
        ("0 * * * * 5-0", 13, "before it begins"),
        ("0 *5 * * * *", 4, "'5' has no meaning here"),
        ("0 5*  * * *", 6, "none in a row"),
        ("0 1/2/3 * * * *", 6, "has no meaning here"),
        ("0 1-2-3 * * * *", 6, "has no meaning here"),
        ("0 * * L * ?", 7, "L, W and # are not supported"),
        ("0 * * 15W * ?", 9, "L, W and # are not supported"),
        ("0 * * LW * ?", 7, "L, W and # are not supported"),
        ("0 * * ? * 5L", 12, "L, W and # are not supported"),
        ("0 * * ? * MON#2", 14, "L, W and # are not supported"),
        ("0 * * 1 * 1", 11, "day (1) and weekday are not both set"),
        ("0 * * */2 * MON-FRI", 13, "not both set"),
        ("0 * * 31 2,4,6 *", 7, "no month of field 5 has the day 31"),
        ("0 * * 30 FEB *", 7, "no month"),
        ("0 * * * * " + "1," * 300 + "1", CRON_TEXT_MAX + 1, f"at most {CRON_TEXT_MAX}"),
    ],
)
def test_refusal_names_the_place(text: str, place: int, problem: str) -> None:
    with pytest.raises(CronTextError) as caught:
        read_cron_text(text)
    assert caught.value.place == place
    assert f"character {place}: " in str(caught.value)
    assert problem in str(caught.value)
