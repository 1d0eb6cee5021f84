"""Building blocks of the configuration models: strict sections and quantities with units."""

from typing import Annotated, Any

import astropy.units as u
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

#: Significant digits kept in canonical values: few enough for "20 deg" and "0.349066 rad" to agree.
CANONICAL_DIGITS = 6


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


def _parse(value: Any, unit: u.Unit, lower, upper) -> u.Quantity:
    if isinstance(value, u.Quantity):
        quantity = value
    elif isinstance(value, str):
        try:
            quantity = u.Quantity(value)
        except (TypeError, ValueError):
            raise ValueError(f"{value!r} is not a number with a unit such as '1 {unit}'") from None
    else:
        raise ValueError(f"{value!r} needs a unit, such as '{value} {unit}'")
    if quantity.shape != () or not quantity.unit.is_equivalent(unit):
        raise ValueError(f"{value!r} needs a unit of {unit.physical_type}, such as '1 {unit}'")
    quantity = quantity.to(unit)
    if not (lower <= quantity.value <= upper):
        raise ValueError(f"{value!r} is outside {lower:g} to {upper:g} {unit}")
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
        BeforeValidator(lambda value: _parse(value, target, lower, upper)),
        PlainSerializer(lambda q: f"{q.value:.12g} {q.unit}", return_type=str),
        WithJsonSchema({"type": "string", "format": "quantity", "x-allowed": allowed}),
    ]


Zenith = quantity_type("deg", 0, 70)
Azimuth = quantity_type("deg", 0, 360)
Offset = quantity_type("deg", 0, 10)
Energy = quantity_type("TeV", 1e-3, 1e3)
Length = quantity_type("m", 0, 1e5)
Duration = quantity_type("h", 0, 1e6)
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
        si = value.si
        unit = si.unit if si.unit != u.one else u.dimensionless_unscaled
        return {"unit": unit.to_string("generic"), "value": _round(float(si.to_value(unit)))}
    if isinstance(value, dict):
        return {str(key): canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, float):
        return _round(value)
    return value


def _round(value: float) -> float:
    return float(f"{value:.{CANONICAL_DIGITS}g}") + 0.0
