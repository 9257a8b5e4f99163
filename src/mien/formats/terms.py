"""The terms of use of training data, as they travel from pack to run, model file and report."""

from collections.abc import Mapping

UNKNOWN = "unknown"
MAX_CHARACTERS = 500
_RESTRICTED = ("non-commercial", "noncommercial", "research", "academic", "agreement", "-nc")


def parse_terms(text: str) -> str:
    """Return terms of use on one line.

    Raises:
        ValueError: there are none, or they are too long for a line.
    """
    terms = " ".join(text.split())
    if not 0 < len(terms) <= MAX_CHARACTERS:
        raise ValueError(
            f"must be a line of 1 to {MAX_CHARACTERS} characters, such as a license's name and address, got {len(terms)}"
        )
    return terms


def list_terms(terms: Mapping[str, object]) -> tuple[str, ...]:
    """Return a line for each dataset, the strictest first: limits on use, then terms that are unknown, then others.

    Args:
        terms: terms of use by dataset, as their authors state them.

    Example:
        >>> list_terms({"a": "CC BY 4.0", "b": "unknown", "c": "research only"})
        ('research only [c]', 'unknown [b]', 'CC BY 4.0 [a]')
    """

    def leniency(item: tuple[str, object]) -> int:
        text = str(item[1]).lower()
        if any(word in text for word in _RESTRICTED):
            return 0
        return 1 if text == UNKNOWN or "none found" in text else 2

    ordered = sorted(terms.items(), key=leniency)
    return tuple(" ".join(f"{text} [{name}]".split()) for name, text in ordered)
