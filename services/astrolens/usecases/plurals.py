"""Numbers with what they count, for sentences: one helper for console, REST and command line."""


def plural(number: float, noun: str, several: str = "") -> str:
    """`1 answer`, `2 answers`, `1,200 galaxies`, `1 image is`.

    Args:
        number: How many.
        noun: One of them.
        several: More than one, where that is not the noun with an `s`.
    """
    return f"{number:,.0f} {noun if number == 1 else several or noun + 's'}"
