"""Units of distances, and of inverse temperatures, as a person writes them.

A distance states its units as "mV", or as "1 (what it counts)" where a scale has taken the units of the data out.
"""


def unit_label(units: str) -> str:
    """Returns the units for a label: of "1 (squared multiples of the scale)" what the bracket says."""
    if units == "1":
        return "dimensionless"
    return units[3:-1] if units.startswith("1 (") and units.endswith(")") else units


def unit_of_beta(units: str) -> str:
    """Returns the unit of an inverse temperature as it follows its number: of pure numbers "dimensionless".

    Example:
        >>> unit_of_beta("mV²"), unit_of_beta("1 (squared multiples of the scale)")
        ('in 1 / (mV²)', 'dimensionless')
    """
    return "dimensionless" if unit_label(units) != units else f"in 1 / ({units})"
