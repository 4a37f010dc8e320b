"""Check digits of the numbers that identify people, companies and cards in Japan."""

from collections.abc import Sequence


def _digits(number: str) -> list[int]:
    return [int(digit) for digit in number]


def is_my_number(number: str) -> bool:
    """Whether the last of 12 digits is the check digit of a My Number (個人番号).

    With P(n) the nth digit from the right of the first eleven, Q(n) = n + 1 for n up to 6 and
    n - 5 above, it is 11 less the remainder of the sum of P(n) Q(n) by 11, and 0 where that
    remainder is 0 or 1: article 5 of the ordinance of the Ministry of Internal Affairs and
    Communications No. 85 of 2014 (平成26年総務省令第85号第5条).
    """
    if len(number) != 12 or not number.isdecimal():
        return False
    *base, check = _digits(number)
    weights = (*range(2, 8), *range(2, 7))
    remainder = sum(p * q for p, q in zip(reversed(base), weights, strict=True)) % 11
    return check == (0 if remainder <= 1 else 11 - remainder)


def is_corporate_number(number: str) -> bool:
    """Whether the first of 13 digits is the check digit of a corporate number (法人番号).

    With P(n) the nth digit from the right of the twelve behind it, and Q(n) = 1 for odd n and 2
    for even, it is 9 less the remainder of the sum of P(n) Q(n) by 9: article 2 of the ordinance
    of the Ministry of Finance No. 70 of 2014 (平成26年財務省令第70号第2条).
    """
    if len(number) != 13 or not number.isdecimal():
        return False
    check, *base = _digits(number)
    total = sum(p * (1 + n % 2) for n, p in enumerate(reversed(base)))
    return check == 9 - total % 9


def is_card_number(number: str) -> bool:
    """Whether ``number`` is that of a payment card: brand, length and the Luhn check digit
    (ISO/IEC 7812-1, annex B).

    Brands: Visa, Mastercard, American Express, Diners Club, Discover, JCB, UnionPay.
    """
    return _is_of_a_brand(number) and passes_luhn(number)


def passes_luhn(number: str) -> bool:
    """Whether every second digit from the right, doubled and its digits added, makes the sum of
    all a multiple of ten.
    """
    total = 0
    for place, digit in enumerate(reversed(_digits(number))):
        doubled = digit * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


#: First digits from and to, and the lengths of the whole number.
_BRANDS: Sequence[tuple[str, str, tuple[int, ...]]] = (
    ("4", "4", (13, 16, 19)),
    ("51", "55", (16,)),
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),
    ("37", "37", (15,)),
    ("300", "305", (14,)),
    ("36", "36", (14,)),
    ("38", "39", (14, 16)),
    ("6011", "6011", (16, 19)),
    ("644", "659", (16, 19)),
    ("3528", "3589", (16, 17, 18, 19)),
    ("62", "62", (16, 17, 18, 19)),
)


def _is_of_a_brand(number: str) -> bool:
    return any(
        len(number) in lengths and first <= number[: len(first)] <= last
        for first, last, lengths in _BRANDS
    )
