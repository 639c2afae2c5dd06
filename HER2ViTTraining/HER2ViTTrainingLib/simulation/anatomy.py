"""The breast: skin, fat, fibroglandular tissue, vessels, chest wall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .fields import Waves, soft_step
from .protocols import Frame

SKIN_MM = 2.0
CHEST_WALL_MM = 24.0
RIB_PERIOD_MM = 27.0


@dataclass(frozen=True)
class Breast:
    """Size and shape of a breast and its chest wall, mm: how far it reaches forward, up, down and sideways,
    where the nipple is.
    """

    reach: float
    up: float
    down: float
    side: float
    nipple_s: float
    nipple_u: float
    fat_over_muscle: float
    density: float
    unevenness: Waves

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Breast:
        size = rng.uniform(0.85, 1.12)
        return cls(
            reach=78 * size * rng.uniform(0.9, 1.1),
            up=74 * size,
            down=58 * size,
            side=64 * min(size, 1.05),
            nipple_s=rng.uniform(-14, 2),
            nipple_u=rng.uniform(-6, 8),
            fat_over_muscle=rng.uniform(7, 12),
            density=float(np.clip(rng.normal(0, 0.4), -0.8, 0.8)),
            unevenness=Waves.draw(rng, (45, 110), 10),
        )

    def chest(self, s: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The chest wall's surface a(s, u): it falls back to the side and towards the armpit."""
        return (
            -0.0022 * (u + 30) ** 2
            + 2
            - 0.0006 * s**2
            - 0.0011 * np.maximum(s, 0) ** 2
            + 1.6 * self._uneven(s, u, 0.0)
        )

    def off_axis(self, s: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Squared distance from the nipple's axis, 1 at the breast's rim."""
        ds = s - self.nipple_s
        du = u - self.nipple_u
        return (ds / np.where(ds > 0, self.up, self.down)) ** 2 + (du / self.side) ** 2

    def thickness(self, s: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Distance from the chest wall to the skin along a."""
        off = self.off_axis(s, u)
        bulge = 0.62 * np.maximum(1 - off, 0) + 0.38 * np.maximum(1 - np.sqrt(off + 0.02), 0)
        from_nipple = (s - self.nipple_s) ** 2 + (u - self.nipple_u) ** 2
        return (
            self.fat_over_muscle
            + self.reach * bulge * (1 + 0.035 * self._uneven(s, u, 300.0))
            + 7 * np.exp(-from_nipple / (2 * 4.5**2))
        )

    def _uneven(self, s: np.ndarray, u: np.ndarray, cut: float) -> np.ndarray:
        return self.unevenness(np.stack(np.broadcast_arrays(np.float32(cut), s, u)).astype(np.float32))

    def slant(self, s: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Cosine between the skin's normal and a: turns a distance along a into a depth under the skin."""

        def skin(s: np.ndarray, u: np.ndarray) -> np.ndarray:
            return self.chest(s, u) + self.thickness(s, u)

        slope_s = (skin(s + 1.5, u) - skin(s - 1.5, u)) / 3
        slope_u = (skin(s, u + 1.5) - skin(s, u - 1.5)) / 3
        return 1 / np.sqrt(1 + slope_s**2 + slope_u**2)

    def place(self, s: np.ndarray, u: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Points (..., 3) as (a, s, u) at a share (0-1) of the way from the chest wall to the skin."""
        return np.stack([self.chest(s, u) + share * self.thickness(s, u), s, u], axis=-1)


def tissue_shares(breast: Breast, frame: Frame, texture: np.ndarray) -> np.ndarray:
    """Share of each voxel that the first six `TISSUES` take, vessels and lesion left out: (6, K, J, I)
    float32.
    """
    width = 1.2 * frame.geometry.spacing[0]
    chest, thickness, slant = (
        surface(frame.s, frame.u).astype(np.float32)
        for surface in (breast.chest, breast.thickness, breast.slant)
    )
    depth = (chest + thickness - frame.a) * slant
    behind = chest - frame.a
    under_skin = soft_step(depth - np.float32(SKIN_MM), width)
    chest_wall = soft_step(behind, width)
    inside_ribs = soft_step(behind - np.float32(CHEST_WALL_MM), 2 * width)

    shares = np.empty((6, *texture.shape), np.float32)
    fat, gland, muscle, skin, lung, organ = shares
    np.subtract(soft_step(depth, width), under_skin, out=skin)
    breast_tissue = under_skin * (1 - chest_wall)
    np.multiply(breast_tissue, _glandularity(breast, frame, texture, depth, -behind / thickness), out=gland)
    np.subtract(breast_tissue, gland, out=fat)
    wall = chest_wall - inside_ribs
    # Ribs are marrow: they look like fat.
    ribs = wall * _ribs(frame, behind)
    fat += ribs
    np.subtract(wall, ribs, out=muscle)
    np.multiply(inside_ribs, _organ(frame, texture), out=organ)
    np.subtract(inside_ribs, organ, out=lung)
    # Blood vessels and breathing make lung and organ mottled.
    lung *= np.clip(1 + texture, 0.3, 4)
    organ *= np.clip(1 + np.float32(0.15) * texture, 0.5, 1.5)
    return shares


def _glandularity(
    breast: Breast, frame: Frame, texture: np.ndarray, depth: np.ndarray, forward: np.ndarray
) -> np.ndarray:
    """Share of fibroglandular tissue in the breast's tissue; `forward` is 0 at the chest wall, 1 at the
    skin.
    """
    forward = np.clip(forward, 0, 1)
    off = breast.off_axis(frame.s, frame.u).astype(np.float32)
    zone = (
        np.float32(1.0 + breast.density)
        - np.float32(2.6) * off
        - np.float32(5.0) * (forward - np.float32(0.5)) ** 2
    )
    # Towards the nipple the ducts come together.
    zone += np.float32(1.4) * np.exp(-40 * off) * forward
    zone += np.float32(1.1) * texture
    zone *= np.float32(0.9)
    zone += np.float32(0.35)
    np.clip(zone, 0, 1, out=zone)
    # A rind of fat stays under the skin.
    zone *= soft_step(depth - np.float32(SKIN_MM + 2.5), 3.0)
    # Strands through the fat: where another stretch of the same noise changes sign.
    strands = np.abs(np.roll(texture, [n // 2 for n in texture.shape], axis=(0, 1, 2)))
    strands *= np.float32(-3.5)
    strands += np.float32(0.55)
    return np.maximum(zone, strands, out=zone)


def _ribs(frame: Frame, behind: np.ndarray) -> np.ndarray:
    """Share of rib in the chest wall; `behind` is the depth behind the wall's surface, mm."""
    slanted = frame.s + np.float32(0.3) * frame.u
    along = np.mod(slanted, np.float32(RIB_PERIOD_MM)) - np.float32(RIB_PERIOD_MM / 2)
    deep = (behind - np.float32(17.5)) / np.float32(5)
    return soft_step(1 - np.sqrt((along / 6) ** 2 + deep**2), 0.35)


def _organ(frame: Frame, texture: np.ndarray) -> np.ndarray:
    """Share of heart (left) or liver (right) in what lies behind the ribs."""
    centre_a, centre_s, centre_u, radius = (-52, -28, -48, 42) if frame.side > 0 else (-55, -75, -5, 55)
    distance = np.sqrt(
        ((frame.a - centre_a) * 1.1) ** 2 + (frame.s - centre_s) ** 2 + (frame.u - centre_u) ** 2
    )
    return soft_step(radius - distance + 2 * texture, 7.0)


# Vessels


def vessel_paths(rng: np.random.Generator, breast: Breast) -> list[tuple[np.ndarray, np.ndarray]]:
    """Points (n, 3) as (a, s, u) and radii (n,), mm, of a few vessels that run from the breast's rim towards
    the nipple.
    """
    paths = []
    for _ in range(rng.integers(4, 8)):
        angle = rng.uniform(-0.4, 2.4) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi)
        ends = np.array([0.95, rng.uniform(0.35, 0.7), rng.uniform(0.08, 0.3)])
        bend = angle + rng.normal(0, 0.45, 3) * (0.3, 1, 1)
        ds = ends * np.sin(bend)
        du = ends * np.cos(bend)
        t = np.linspace(0, 1, 160)
        bezier = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1)
        wiggle = 2.0 * np.sin(t * rng.uniform(8, 16) + rng.uniform(0, 6))
        s = breast.nipple_s + bezier @ (ds * np.where(ds > 0, breast.up, breast.down)) + wiggle
        u = breast.nipple_u + bezier @ (du * breast.side) + wiggle[::-1]
        share = bezier @ np.array([rng.uniform(0.35, 0.75), rng.uniform(0.3, 0.8), rng.uniform(0.5, 0.8)])
        paths.append((breast.place(s, u, share), rng.uniform(0.8, 1.5) * (1.1 - 0.6 * t)))
    return paths


def rasterise_vessels(
    paths: Sequence[tuple[np.ndarray, np.ndarray]], frame: Frame
) -> tuple[np.ndarray, np.ndarray]:
    """Flat voxel indices, each once, and the share of the voxel that blood takes."""
    shape = frame.geometry.shape
    spacing = np.array(frame.geometry.spacing[::-1])
    points = np.concatenate([path for path, _ in paths])
    radii = np.concatenate([radius for _, radius in paths])
    reach = np.ceil(2.2 / spacing).astype(int)
    grid = np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij")
    offsets = np.stack(grid, axis=-1).reshape(-1, 3)
    index = frame.to_index(points)
    voxels = np.rint(index).astype(int)[:, None] + offsets
    distance = np.abs(voxels - index[:, None]) * spacing
    # A voxel is as long as the slice is thick: within that length it meets the tube, but is filled by it only
    # in part.
    longest = int(np.argmax(spacing))
    distance[..., longest] = np.maximum(distance[..., longest] - spacing[longest] / 2, 0)
    filled = np.minimum(1, 1.6 * radii / spacing[longest])[:, None]
    share = filled * np.clip((radii[:, None] - np.linalg.norm(distance, axis=-1)) / spacing.min() + 0.5, 0, 1)
    valid = (share > 0.02) & np.all((voxels >= 0) & (voxels < shape), axis=-1)
    flat = np.ravel_multi_index(tuple(voxels[valid].T), shape)
    order = np.lexsort((share[valid], flat))
    flat = flat[order]
    share = share[valid][order]
    last = np.append(flat[1:] != flat[:-1], True)
    return flat[last], share[last].astype(np.float32)
