"""Sentences for values that pydantic refuses: what is wrong, and what to use instead.

The API, batch files, statements of consent and environment variables have the same sentences.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER: Final = "The value is not a number. Use one such as 0.5."
_INTEGER: Final = "The value is not a whole number. Use one such as 17."
_TIME: Final = "The value is not a time in ISO 8601. Use one such as 2026-01-31T12:00:00Z."
_DAY: Final = "The value is not a day in ISO 8601. Use one such as 2026-01-31."
_ID: Final = "The value is not an id. Use one that the service returned, such as 0198c2f4-5a51-7c3e-9d7a-0f6d8f0f3a11."
_OBJECT: Final = 'The value is not an object. Write its fields in braces: {{"field": value}}.'
_LIST: Final = "The value is not a list. Write its items in brackets: [item, item]."
_TEXT: Final = "The value is not text. Write it as text, in JSON within quotation marks."
_CHOICE: Final = "The value is not among the accepted ones. Use {expected}."
_TRUTH: Final = "The value is neither true nor false. Use one of these two."

#: Kind of pydantic -> sentence; names in braces are members of its context.
SENTENCES: Final = {
    "missing": "This field is missing. Add it.",
    "extra_forbidden": "There is no field of this name. Correct the name, or remove the field.",
    "json_invalid": "This is not JSON: {error}. Check its quotation marks, commas and brackets.",
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "frozen_set_type": _LIST,
    "too_short": "There are {actual_length} items, which are too few. Use {min_length} or more.",
    "string_type": _TEXT,
    "path_type": _TEXT,
    "string_too_short": "The text is too short. Use {min_length} or more characters.",
    "string_too_long": "The text is too long. Use at most {max_length} characters.",
    "string_pattern_mismatch": "The text is not in the accepted form. Use {form}.",
    "string_unicode": "The text has a character that is not valid Unicode. Remove it.",
    "int_type": "The value is not a whole number. Use one such as 17, without quotation marks.",
    "int_parsing": _INTEGER,
    "int_from_float": _INTEGER,
    "int_parsing_size": "The number has too many digits. Use a smaller one.",
    "float_type": "The value is not a number. Use one such as 0.5, without quotation marks.",
    "float_parsing": _NUMBER,
    "finite_number": "The number is not finite. Use a finite one such as 0.5.",
    "greater_than": "The number is too small. Use one above {gt}.",
    "greater_than_equal": "The number is too small. Use at least {ge}.",
    "less_than": "The number is too large. Use one below {lt}.",
    "less_than_equal": "The number is too large. Use at most {le}.",
    "multiple_of": "The number is not a multiple of {multiple_of}. Use one that is.",
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "literal_error": _CHOICE,
    "enum": _CHOICE,
    "uuid_type": _ID,
    "uuid_parsing": _ID,
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "timezone_aware": "The time has no time zone. Append Z for UTC, or an offset such as +02:00.",
    "date_type": _DAY,
    "date_parsing": _DAY,
    "date_from_datetime_parsing": _DAY,
    "date_from_datetime_inexact": _DAY,
}
#: Of a kind without a sentence. The texts of pydantic are not for users.
OTHER: Final = "The value is not accepted. Compare it with the description of this field."

#: Pattern of a text -> how users know it.
FORMS: Final = {
    r"^[0-9a-f]{12}$": "an id of 12 hexadecimal digits, such as 9f86d081884c",
    r"^[0-9a-f]{64}$": "a SHA-256 in 64 hexadecimal digits, in lower case",
    r"^[\x21-\x7e]+$": "visible ASCII characters without blanks",
    r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$": "at most 40 of a to z, 0 to 9 and -, which is neither first nor last",
    r"^[a-z0-9_-]{1,64}$": "at most 64 of a to z, 0 to 9, _ and -",
}

#: A member of an enumeration, as pydantic shows it.
_MEMBER: Final = re.compile(r"<\w+\.\w+: ('[^']+')>")


def sentence_of(fault: Mapping[str, Any]) -> str:
    """Return the sentences for one fault of pydantic; validators of Dubline have their own.

    Args:
        fault: an item of `ValidationError.errors()`.
    """
    if fault["type"] == "value_error":
        text = str(fault["msg"]).removeprefix("Value error, ")
        return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")
    facts = {"form": FORMS.get(fault.get("ctx", {}).get("pattern", ""), "the form in its description")}
    facts |= {name: _shown(value) for name, value in fault.get("ctx", {}).items()}
    return SENTENCES.get(fault["type"], OTHER).format_map(facts)


def _shown(fact: object) -> str:
    if isinstance(fact, float) and fact.is_integer():
        return str(int(fact))
    return _MEMBER.sub(r"\1", str(fact))
