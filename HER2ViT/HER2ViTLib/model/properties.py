"""Scale-free properties of a case, by which a reading tells that it is unlike the model's training set.

Raw MR signal has no units, so only ratios and lengths are compared.
"""

from __future__ import annotations

import numpy as np

from HER2ViTLib.imaging.volume import Volume, bounding_box

BACKGROUND_MM = 10.0
"""How far around the outline the background reaches that the lesion is compared with."""

UNITS = {
    "relative_enhancement": "",
    "in_plane_spacing": " mm",
    "slice_thickness": " mm",
    "lesion_area": " mm2",
    "lesion_to_background_contrast": "",
}


def case_properties(early: Volume, pre: Volume | None, roi: np.ndarray, slice_index: int) -> dict[str, float]:
    """The properties of one case on its chosen slice, named as in `UNITS`; those that cannot be had are left
    out.

    `roi` is boolean (K, J, I) on the phases' geometry and not empty on the slice. Enhancement is (early -
    pre) / pre over the outline, contrast the outline's mean over that of the surrounding 10 mm, both on the
    early phase's slice.
    """
    geometry = early.geometry
    mask = roi[slice_index]
    spacing_x, spacing_y, thickness = geometry.spacing
    rows, columns = bounding_box(mask)
    grow_y = round(BACKGROUND_MM / spacing_y)
    grow_x = round(BACKGROUND_MM / spacing_x)
    window = np.s_[
        max(rows.start - grow_y, 0) : rows.stop + grow_y,
        max(columns.start - grow_x, 0) : columns.stop + grow_x,
    ]
    mask = mask[window]
    image = early.array[slice_index][window]
    lesion = float(image[mask].mean())
    found = {
        "in_plane_spacing": float((spacing_x * spacing_y) ** 0.5),
        "slice_thickness": float(thickness),
        "lesion_area": float(np.count_nonzero(mask) * geometry.pixel_mm2),
    }
    background = float(image[~mask].mean()) if not mask.all() else 0.0
    if background > 0:
        found["lesion_to_background_contrast"] = lesion / background
    before = float(pre.array[slice_index][window][mask].mean()) if pre is not None else 0.0
    if before > 0:
        found["relative_enhancement"] = lesion / before - 1
    return found
