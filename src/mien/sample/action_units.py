"""Which action units a drawn face shows, and how strongly: the ground truth of `action_units.csv`.

Intensities follow from the movement that is drawn, by the table below, and are rounded to the levels of FACS: 0 absent, 1
trace (A), 2 slight (B), 3 marked (C), 4 severe (D), 5 maximum (E). A movement of 1, which is strong, is level 4. A unit that
only one side of the face shows has the intensity of that side.
"""

from mien.faces.action_units import MAX_INTENSITY
from mien.sample.expressions import Movement

# Level of a movement of 1.
_STRONG = 4.0


def _strengths(m: Movement) -> dict[str, float]:
    """Return the strength of each unit, 0 at rest and 1 strong; negative where the opposite is drawn."""
    return {
        "AU01": m.brow_inner,
        "AU02": max(m.brow_outer, abs(m.brow_asym)),
        "AU04": m.brow_knit,
        "AU05": m.lid,
        # The drawing raises cheek and lower lid together: with a smile it is the cheek, otherwise the lid.
        "AU06": min(m.squint, 2 * m.smile),
        "AU07": m.squint if m.smile <= 0.1 else 0.0,
        "AU09": m.nose,
        "AU10": m.lip_up,
        "AU12": m.smile,
        "AU14": abs(m.corner_asym),
        "AU15": -m.smile,
        "AU17": m.pout,
        "AU18": m.pucker,
        "AU19": m.tongue,
        "AU20": m.stretch,
        "AU24": m.press,
        "AU25": max(m.part, m.jaw),
        "AU26": m.jaw,
        "AU43": max(-m.lid, abs(m.wink)),
    }


UNIT_NAMES = tuple(_strengths(Movement()))


def action_unit_levels(movement: Movement) -> tuple[int, ...]:
    """Return the intensity of each of `UNIT_NAMES`, 0 to 5."""
    strengths = _strengths(movement).values()
    return tuple(round(min(max(_STRONG * strength, 0.0), MAX_INTENSITY)) for strength in strengths)
