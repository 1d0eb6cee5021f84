"""Building blocks of the configuration models: strict sections and quantities with units."""

import re
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import astropy.units as u
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

#: Significant digits kept in canonical values: few enough for "20 deg" and "0.349066 rad" to agree.
CANONICAL_DIGITS = 6

#: Longest text of a quantity: unit parsers take long over long text.
_QUANTITY_CHARACTERS = 64

#: Characters that Snakemake or a shell gives a meaning, and control characters.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f{}'\"`$;|&<>*?\\\u2028\u2029]")


class Section(BaseModel):
    """A section of the configuration: unknown keys are refused, values can't change."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )


def shorten(value: Any, width: int = 60) -> str:
    """Show a value in a message: as in YAML, on one line and not too long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _parse(value: Any, target: u.Unit, unit: str, lower, upper) -> u.Quantity:
    if isinstance(value, u.Quantity):
        quantity = value
    elif not isinstance(value, str):
        example = f"{value} {unit}" if type(value) in (int, float) else f"1 {unit}"
        raise ValueError(
            f"{shorten(value)} is no text with a number and a unit, such as '{example}'"
        )
    elif len(value) > _QUANTITY_CHARACTERS:
        raise ValueError(f"{shorten(value)} is longer than {_QUANTITY_CHARACTERS} characters")
    else:
        try:
            quantity = u.Quantity(value)
        except (TypeError, ValueError, ArithmeticError):
            raise ValueError(
                f"{shorten(value)} is not a number with a unit such as '1 {unit}'"
            ) from None
        if quantity.unit is u.dimensionless_unscaled:
            raise ValueError(f"{shorten(value)} has no unit; write a number such as '1 {unit}'")
    if quantity.shape != () or not quantity.unit.is_equivalent(target):
        raise ValueError(f"{shorten(str(value))} has a wrong unit; write one such as '1 {unit}'")
    quantity = quantity.to(target)
    if not (lower <= quantity.value <= upper):
        raise ValueError(f"{shorten(str(value))} is outside {lower:g} to {upper:g} {unit}")
    return quantity


def quantity_type(unit: str, lower: float = float("-inf"), upper: float = float("inf")) -> Any:
    """Make a pydantic type for quantities given as text, such as ``"20 deg"``.

    Parameters
    ----------
    unit : str
        Unit of the stored `~astropy.units.Quantity`, and of the limits.
    lower, upper : float
        Smallest and largest value allowed, in `unit`.

    Returns
    -------
    typing.Annotated
        Accepts text or a quantity of a convertible unit; a bare number is refused.
    """
    target = u.Unit(unit)
    allowed = f"a number with a unit convertible to {unit}"
    if lower != float("-inf") or upper != float("inf"):
        allowed += f", from {lower:g} {unit} to {upper:g} {unit}"
    return Annotated[
        u.Quantity,
        BeforeValidator(lambda value: _parse(value, target, unit, lower, upper)),
        PlainSerializer(lambda q: f"{q.value:.12g} {q.unit}", return_type=str),
        WithJsonSchema(
            {"type": "string", "format": "quantity", "x-unit": unit, "x-allowed": allowed}
        ),
    ]


def _plain_text(value: Any) -> Any:
    text = str(value)
    if not text.strip() or not text.isprintable():
        raise ValueError(
            f"{shorten(text)} is empty or has control characters; write one line of text"
        )
    return value


def _no_password(address: str) -> str:
    # The message does not repeat the address.
    if "@" in address.partition("://")[2].partition("/")[0]:
        raise ValueError("an address must not hold a user or a password (before an '@')")
    return address


def _safe_path(path: Path | str) -> Path | str:
    text = str(path)
    if text in ("", ".") or text.startswith("-") or _UNSAFE.search(text):
        raise ValueError(
            f"{shorten(text)} is no usable path; it must not be empty, start with '-', or hold "
            "control characters or any of {}'\"`$;|&<>*?\\"
        )
    return path


def _no_timestamp(value: Any) -> Any:
    # A number would count as seconds since 1970.
    if not isinstance(value, str | date) or isinstance(value, datetime):
        raise ValueError(f"{shorten(value)} is not a date such as 2026-01-31")
    return value


#: True or false, not a word or number that may stand for it.
Switch = Annotated[bool, Field(strict=True)]
#: A day, such as 2026-01-31.
Day = Annotated[date, BeforeValidator(_no_timestamp)]
#: Address of a server, without user and password.
Url = Annotated[
    str,
    Field(
        pattern=r"^https?://[^\s/]+(/\S*)?$",
        json_schema_extra={"x-allowed": "an address that starts with http:// or https://"},
    ),
    AfterValidator(_no_password),
]
#: One line of text for people.
Text = Annotated[
    str,
    Field(max_length=200, json_schema_extra={"x-allowed": "one line of at most 200 characters"}),
    AfterValidator(_plain_text),
]
#: A paragraph for people, on one line.
Note = Annotated[
    str,
    Field(max_length=1000, json_schema_extra={"x-allowed": "one line of at most 1000 characters"}),
    AfterValidator(_plain_text),
]
_PATH_SCHEMA = {"x-allowed": "a path without shell or control characters"}
#: A file or folder; relative paths start at the working directory.
SafePath = Annotated[Path, Field(json_schema_extra=_PATH_SCHEMA), AfterValidator(_safe_path)]
#: The same as text, for values that may also be a word or an address.
SafePathText = Annotated[str, Field(json_schema_extra=_PATH_SCHEMA), AfterValidator(_safe_path)]

Zenith = quantity_type("deg", 0, 70)
Azimuth = quantity_type("deg", 0, 360)
Offset = quantity_type("deg", 0, 10)
FieldRadius = quantity_type("deg", 0.05, 10)
Energy = quantity_type("TeV", 1e-3, 1e3)
Length = quantity_type("m", 0, 1e5)
Duration = quantity_type("h", 0.01, 1e6)
Memory = quantity_type("GB", 0, 1e6)
Fraction = quantity_type("%", -90, 900)


def canonical(value: Any) -> Any:
    """Reduce a configuration value to what identity is made of.

    Models become dictionaries, quantities ``{"unit": <SI>, "value": <6 significant digits>}``;
    floats are rounded alike, so that another spelling of the same number gives the same result.

    Parameters
    ----------
    value : object
        Model, mapping, sequence, quantity or plain value.

    Returns
    -------
    object
        Made of dict, list, str, int, float, bool and None only.
    """
    if isinstance(value, BaseModel):
        return {name: canonical(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, u.Quantity):
        try:
            si = value.si
        except u.UnitConversionError:  # amounts of data are no SI quantities
            si = value.decompose()
        unit = si.unit if si.unit != u.one else u.dimensionless_unscaled
        return {"unit": unit.to_string("generic"), "value": _round(float(si.to_value(unit)))}
    if isinstance(value, date):  # with or without a time
        return value.isoformat()
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, dict):
        return {str(key): canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, float):
        return _round(value)
    return value


def _round(value: float) -> float:
    return float(f"{value:.{CANONICAL_DIGITS}g}") + 0.0
