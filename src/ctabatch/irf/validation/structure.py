"""Checks of the file: components, GADF schema, Gammapy."""

from ctabatch.checks import schema_fault
from ctabatch.irf.reading import KINDS, TITLES
from ctabatch.irf.validation.result import Failed


def components(subject):
    """All four components are there, once, and their columns fit together."""
    problems = subject.irf.problems
    if problems:
        reasons = [f"{TITLES.get(kind, kind)}: {reason}" for kind, reason in problems.items()]
        raise Failed("; ".join(reasons), problems=problems)
    found = {kind: item.name for kind, item in subject.irf.components.items()}
    return "effective area, energy dispersion, PSF and background found", {"hdus": found}


def gadf_schema(subject):
    """Every response HDU follows the GADF format (version 0.2)."""
    import ogadf_schema.irfs as schemas

    faults, checked = {}, []
    for hdu in subject.irf.hdus:
        if hdu.header.get("HDUCLAS1") != "RESPONSE":
            continue
        schema = getattr(schemas, hdu.header.get("HDUCLAS4", ""), None)
        if schema is None:
            faults[hdu.name] = f"HDUCLAS4 = {hdu.header.get('HDUCLAS4')!r} is not in the schema"
            continue
        checked.append(hdu.name)
        if fault := schema_fault(schema, hdu):
            faults[hdu.name] = fault
    if faults:
        name, reason = next(iter(faults.items()))
        raise Failed(f"HDU {name!r}: {reason}", faults=faults)
    if not checked:
        raise Failed("no HDU with HDUCLAS1 = RESPONSE")
    return f"{len(checked)} HDUs follow the schema", {"hdus": checked}


def gammapy(subject):
    """Gammapy makes its objects of the file, and takes the gamma-ray effective area.

    `gammapy.irf.load_irf_dict_from_file` takes the first HDU of each kind.
    """
    for kind, component in subject.irf.components.items():
        same = [
            hdu.name for hdu in subject.irf.hdus if hdu.header.get("HDUCLAS2") in KINDS[kind][0]
        ]
        if same[0] != component.name:
            raise Failed(
                f"Gammapy would take HDU {same[0]!r} for the {TITLES[kind]}: {component.name!r} "
                "must come before it"
            )
        try:
            irf = component.to_gammapy()
            irf.evaluate(**_middle(irf))
        except Exception as error:  # whatever the library raises is the finding
            text = " ".join(str(error).split()) or type(error).__name__
            raise Failed(f"HDU {component.name!r} does not load: {text}") from None
    names = ", ".join(item.name for item in subject.irf.components.values())
    return f"loaded and evaluated {names}", {}


def _middle(irf):
    """Coordinates of a bin in the middle of each axis."""
    point = {axis.name: axis.center[axis.nbin // 2] for axis in irf.axes}
    if "rad" in irf.required_arguments:
        point.setdefault("rad", "0.1 deg")
        import astropy.units as u

        point["rad"] = u.Quantity(point["rad"])
    return point
