"""Volumes: numpy arrays (K, J, I) with their geometry in patient space (LPS, mm), read and written through SimpleITK."""

from __future__ import annotations

import errno
import gzip
import math
import os
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import IO

import numpy as np
import SimpleITK as sitk

from HER2ViTLib.files.inputs import require_file
from HER2ViTLib.files.output import temporary_name
from HER2ViTLib.messages import InputError

GEOMETRY_TOLERANCE_VOXELS = 1e-3
PLAUSIBLE_SPACING_MM = (0.01, 100.0)
_LARGEST_ORIGIN_MM = 1e6
_SKEW = 0.01
"""Cosine of the angle between two axes from which on they are not perpendicular (half a degree); headers round."""
_IMAGE_IOS = ("NiftiImageIO", "NrrdImageIO", "MetaImageIO", "GDCMImageIO")
_LONGEST_HEADER = 1 << 20
_HEADER_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
"""Files of text headers, with their voxels behind the header or in other files."""
_LONGEST_AXIS = 16384
MOST_VALUES = 1 << 31
"""A DCE-MRI of 512 x 512 x 320 voxels and 25 phases."""
_LARGEST_RATIO = 1032
"""Nothing is deflated further than 1032 to 1."""


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of an array lie in the patient.

    `shape` is (K, J, I), slices first. `spacing` (mm) and `origin` (mm, LPS) are in SimpleITK's order (i, j, k);
    `direction` is SimpleITK's row-major 3 x 3 matrix whose columns are the directions of i, j and k in LPS.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @property
    def index_to_lps(self) -> np.ndarray:
        """The 4 x 4 matrix that takes a voxel index (i, j, k, 1) to a point (x, y, z, 1) in LPS, mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def voxel_mm3(self) -> float:
        return float(np.prod(self.spacing))

    @property
    def pixel_mm2(self) -> float:
        """Area of one pixel of a slice (i x j)."""
        return float(self.spacing[0] * self.spacing[1])

    def to_lps(self, ijk: Sequence[float] | np.ndarray) -> np.ndarray:
        """Points in LPS (mm) of voxel indices (..., 3), in the order (i, j, k); fractions are allowed."""
        matrix = self.index_to_lps
        return np.asarray(ijk, float) @ matrix[:3, :3].T + matrix[:3, 3]

    def to_index(self, lps: Sequence[float] | np.ndarray) -> np.ndarray:
        """Continuous voxel indices (..., 3), in the order (i, j, k), of points in LPS (mm)."""
        matrix = np.linalg.inv(self.index_to_lps)
        return np.asarray(lps, float) @ matrix[:3, :3].T + matrix[:3, 3]

    def matches(self, other: Geometry) -> bool:
        """Whether every voxel of both lies at the same place, within a thousandth of a voxel."""
        return self.shape == other.shape and bool(
            np.abs(self._corners_on(other) - self._corners).max() <= GEOMETRY_TOLERANCE_VOXELS
        )

    def is_part_of(self, other: Geometry) -> bool:
        """Whether every voxel is one of `other`'s grid, thought to go on beyond its edges: the same axes,
        shifted by whole voxels.
        """
        shifts = self._corners_on(other) - self._corners
        return bool(np.abs(shifts - np.rint(shifts[0])).max() <= GEOMETRY_TOLERANCE_VOXELS)

    def fills(self, other: Geometry) -> bool:
        """Whether both cover the same part of the patient, within half a voxel, however their axes run."""
        ours, theirs = (np.sort(corners, axis=0) for corners in (self._corners_on(other), other._corners))
        return bool(np.abs(ours - theirs).max() <= 0.5)

    def holds(self, lps: Sequence[float] | np.ndarray) -> np.ndarray:
        """Whether points in LPS (..., 3), mm, lie in a voxel, boolean (...)."""
        nearest = np.rint(self.to_index(lps))
        return ((nearest >= 0) & (nearest < self.shape[::-1])).all(axis=-1)

    @property
    def middle(self) -> np.ndarray:
        """The middle of what the voxels cover, a point (x, y, z) in LPS, mm."""
        return self.to_lps((np.array(self.shape[::-1]) - 1) / 2)

    @property
    def _corners(self) -> np.ndarray:
        """The indices (8, 3) of the voxels at the corners."""
        k, j, i = (n - 1 for n in self.shape)
        return np.array([[x, y, z] for x in (0, i) for y in (0, j) for z in (0, k)], float)

    def _corners_on(self, other: Geometry) -> np.ndarray:
        """The corners as continuous indices (8, 3) of `other`."""
        return other.to_index(self.to_lps(self._corners))

    def differences(self, other: Geometry) -> dict[str, str]:
        """What differs, in words, of size, spacing, direction and origin, written to the fourth decimal:
        {part: "ours against theirs"}.
        """
        parts = {
            "size": (self.shape[::-1], other.shape[::-1], ""),
            "spacing": (self.spacing, other.spacing, " mm"),
            "direction": (self.direction, other.direction, ""),
            "origin": (self.origin, other.origin, " mm"),
        }
        written = {
            part: (_listed(ours), _listed(theirs), unit) for part, (ours, theirs, unit) in parts.items()
        }
        return {
            part: f"{ours} against {theirs}{unit}"
            for part, (ours, theirs, unit) in written.items()
            if ours != theirs
        }

    def differences_text(self, other: Geometry) -> str:
        """What differs, in one line."""
        found = [f"{part} {values}" for part, values in self.differences(other).items()]
        return ", ".join(found) or "shifted by more than a thousandth of a voxel"

    def with_slice_axis(self, axis: str) -> Geometry:
        """The same voxels with array axis `axis` ("i", "j" or "k") moved to the front: see `Volume.with_slice_axis`."""
        order = _slice_axis_order(axis)
        ijk = [2 - a for a in reversed(order)]
        direction = np.reshape(self.direction, (3, 3))[:, ijk]
        return Geometry(
            tuple(self.shape[a] for a in order), tuple(self.spacing[a] for a in ijk), self.origin, tuple(direction.ravel())
        )


@dataclass(frozen=True)
class Volume:
    """An array (K, J, I) and its geometry."""

    array: np.ndarray
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise ValueError(f"array {self.array.shape} does not fit geometry {self.geometry.shape}")

    def with_array(self, array: np.ndarray) -> Volume:
        return replace(self, array=array)

    def with_slice_axis(self, axis: str) -> Volume:
        """The volume with array axis `axis` first, so that its slices are cut across that axis; nothing is resampled."""
        return Volume(with_slice_axis(self.array, axis), self.geometry.with_slice_axis(axis))


def with_slice_axis(array: np.ndarray, axis: str) -> np.ndarray:
    """An array (K, J, I) with the named axis first: see `Volume.with_slice_axis`."""
    return array.transpose(_slice_axis_order(axis))


def _slice_axis_order(axis: str) -> tuple[int, int, int]:
    """Order of the array axes (K, J, I) that brings the named one to the front and keeps the other two as they are."""
    front = "kji".index(axis)
    return (front, *(a for a in range(3) if a != front))


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Slices that cut the smallest box around a boolean array of any dimension that is not empty."""
    box: tuple[slice, ...] = ()
    for axis in range(mask.ndim):
        # Cut first, look on in what is left: most of an image lies outside.
        touched = np.flatnonzero(mask[box].any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box += (slice(int(touched[0]), int(touched[-1]) + 1),)
    return box


def _listed(values: Sequence[float]) -> str:
    return " x ".join(f"{round(value, 4) + 0.0:.10g}" for value in values)  # + 0.0: no minus before a zero


def ras_to_lps(point: Sequence[float]) -> tuple[float, float, float]:
    """A point in RAS (mm), as 3D Slicer shows it, in LPS, as files and SimpleITK have it; and the other way round."""
    r, a, s = point
    return -r, -a, s


def read_sitk(path: str | os.PathLike) -> sitk.Image:
    """The image in a NIfTI, NRRD, MetaImage or DICOM file, as SimpleITK reads it; one volume of more axes
    than three is three-dimensional.

    Other formats that SimpleITK knows are left out: several of them open further files as they please. Raises
    `InputError` for a missing file, one that holds no image, a header that names a voxel file outside its
    folder or does not say what its axes are, or more voxels than the file can hold.
    """
    path = require_file(path, "the image file itself")
    _require_utf8_name(path)
    try:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        io = _image_io(path)
        reader.SetImageIO(io)
        files = [path, *_voxel_files(path, io)]
        reader.ReadImageInformation()
        _require_plausible_size(path, reader, sum(file.stat().st_size for file in files if file.is_file()))
        image = reader.Execute()
        _require_whole_nifti(path, image)
        image = _three_dimensional(image)
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into the memory; use a machine with more, or crop the image") from error
    except (RuntimeError, OSError, EOFError, ValueError, OverflowError, struct.error, zlib.error) as error:
        unknown = (
            f"cannot be read as an image; give a NIfTI, NRRD, MetaImage or DICOM file ({_itk_reason(error)})"
        )
        raise InputError(f"{path}: {_axis_of_no_kind(path) or unknown}") from error
    return image


def _require_utf8_name(path: Path) -> None:
    """Raises `InputError` for a name that is not UTF-8: SimpleITK ends the whole process over it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{str(path).encode(errors='backslashreplace').decode()}: its name is not UTF-8 text; rename the file or folder") from error


def _image_io(path: Path) -> str:
    """The reader of SimpleITK for the file. Raises `ValueError` when it has none among the formats read here."""
    if path.suffix == ".nrrd" and _starts_as_nrrd(path):
        return "NrrdImageIO"  # asking every format in turn takes as long as reading a small image
    name = sitk.ImageFileReader.GetImageIOFromFileName(str(path))
    if name not in _IMAGE_IOS:
        raise ValueError(f"{name.replace('ImageIO', '')} files are not read" if name else "no known format")
    return name


def _starts_as_nrrd(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"NRRD"


def _voxel_files(path: Path, io: str) -> list[Path]:
    """The further files that hold the voxels of the image that SimpleITK reads with `io`. Raises `InputError` as `_files_of_header`."""
    if io == "NiftiImageIO":
        return [path.with_suffix(".img")] if path.suffix == ".hdr" else []
    return [] if io == "GDCMImageIO" else _files_of_header(path)


def _files_of_header(path: Path) -> list[Path]:
    """The further files that a NRRD or MetaImage header takes its voxels from. Raises `InputError` for one that lies outside its folder.

    A header from elsewhere must not be able to bring any file of this machine into a picture.
    """
    found = []
    for name in _named_voxel_files(path):
        # "slice%03d.raw 1 20 1" stands for the files of that pattern
        name = re.sub(r"%0?\d*d", "[0-9]*", name.split()[0]) if "%" in name else name
        is_foreign = ".." in Path(name).parts or Path(name).is_absolute() or PureWindowsPath(name).is_absolute()
        targets = [] if is_foreign else sorted(path.parent.glob(name)) if "*" in name else [path.parent / name]
        if is_foreign or any(Path(os.path.realpath(path.parent)) not in Path(os.path.realpath(target)).parents for target in targets):
            raise InputError(f"{path}: takes its voxels from {name!r}, outside its folder; put that file beside the header")
        found += targets
    return found


def companion_files(path: Path) -> list[Path]:
    """The further files that an image file takes its content from: the voxels of a header, the header of voxels; none for most images.

    Raises `InputError` for voxels outside the header's folder, `OSError` where the file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in (".hdr", ".img"):
        return [path.with_suffix(".img" if suffix == ".hdr" else ".hdr")]
    # Longer files hold their voxels; a pipe would keep whoever looks into it waiting.
    may_be_header = suffix in _HEADER_SUFFIXES and path.is_file() and path.stat().st_size <= _LONGEST_HEADER
    return _files_of_header(path) if may_be_header else []


def _named_voxel_files(path: Path) -> list[str]:
    """The voxel files that a NRRD or MetaImage header names; none where header and voxels are one file."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    is_nrrd = start.startswith(b"NRRD")
    header = (re.split(rb"\r?\n\r?\n", start, maxsplit=1)[0] if is_nrrd else start).replace(b"\r\n", b"\n")
    # Wherever a MetaImage's field may stand: its parser is lenient about what comes before, and about = or :.
    field = rb"(?im)^[ \t]*data ?file[ \t]*:(?!=)(.*)$" if is_nrrd else rb"(?i)ElementDataFile\s*[=:](.*)"
    names: list[bytes] = []
    for match in re.finditer(field, header):
        value = match[1].strip()
        if value.upper().startswith(b"LIST"):
            names += header[match.end() :].split(b"\n")
        elif value.upper() != b"LOCAL":
            names.append(value)
    return [os.fsdecode(name.strip()) for name in names if name.strip()]


def _require_plausible_size(path: Path, reader: sitk.ImageFileReader, file_bytes: int) -> None:
    """Raises `InputError` for a header that declares more voxels than the file can hold, compressed as it may be, or than anyone can use."""
    size = reader.GetSize()
    values = math.prod(size) * reader.GetNumberOfComponents()
    wide = max(size) > _LONGEST_AXIS
    if wide or not 0 < values <= min(MOST_VALUES, _LARGEST_RATIO * file_bytes):
        raise InputError(f"{path}: its header declares {' x '.join(map(str, size))} voxels, which its {file_bytes} bytes cannot be; export it again")


def _require_whole_nifti(path: Path, image: sitk.Image) -> None:
    """Raises for a NIfTI file that ends before its voxels do, or holds NaN or infinity: the reader inside ITK makes zeros of both without a word.

    `InputError` for NaN and infinity; else `ValueError`, `EOFError` and what gzip raises.
    """
    header = {key: image.GetMetaData(key) for key in ("datatype", "bitpix", "vox_offset", "nifti_type") if image.HasMetaDataKey(key)}
    if "nifti_type" not in header:
        return
    with _inflated(path) as file:
        start = file.read(540)
    byte_order = "<" if int.from_bytes(start[:4], "little") in (348, 540) else ">"  # the header begins with its own length
    is_second = int.from_bytes(start[:4], "little" if byte_order == "<" else "big") == 540
    count, *sizes = struct.unpack_from(byte_order + ("8q" if is_second else "8h"), start, 16 if is_second else 40)
    if min(sizes[:count]) < 1:
        raise ValueError(f"an axis of {min(sizes[:count])} voxels")
    is_one_file = header["nifti_type"] == "1"
    offset, length = int(float(header["vox_offset"])), math.prod(sizes[:count]) * int(header["bitpix"]) // 8
    if offset < (348 if is_one_file else 0):
        raise ValueError("voxels that begin inside the header")
    if is_one_file and _has_check_sum(path, offset, image):
        return
    stored = _stored(path if is_one_file else path.with_suffix(".img"), offset, length)
    kind = {"16": "f4", "64": "f8"}.get(header["datatype"])  # NIFTI_TYPE_FLOAT32, FLOAT64
    if kind:
        require_finite(np.frombuffer(stored, byte_order + kind), str(path))


def _has_check_sum(path: Path, offset: int, image: sitk.Image) -> bool:
    """Whether a gzip file's own check sum is that of its first `offset` bytes and the image's voxels: then
    nothing is missing, nor changed.

    Inflating the file once more to see that takes as long as reading it. False, too, for what can only be
    told so: scaled voxels, say.
    """
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b" or offset > _LONGEST_HEADER:
            return False
        file.seek(-8, os.SEEK_END)
        check_sum, size = struct.unpack("<2I", file.read(8))
    with _inflated(path) as file:
        start = file.read(offset)
    voxels = sitk.GetArrayViewFromImage(image)
    return size == (offset + voxels.nbytes) % (1 << 32) and check_sum == zlib.crc32(voxels, zlib.crc32(start))


def _stored(path: Path, offset: int, length: int) -> bytes:
    """The bytes of the voxels. Raises `ValueError` and `EOFError` for a file that lacks some, and what gzip raises for damage."""
    with _inflated(path) as file:
        file.seek(offset)
        stored = file.read(length)
        # One byte more, so that gzip gets to its check sum; not all: what follows the voxels may go on for ever.
        file.read(1)
    if len(stored) < length:
        raise ValueError(f"it ends before its {length} bytes of voxels do")
    return stored


def _inflated(path: Path) -> IO[bytes]:
    """The file opened, uncompressed. What it is tells its content, as ITK has it, whatever its name."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if is_gzip else path.open("rb")


def _axis_of_no_kind(path: Path) -> str:
    """What is wrong with a NRRD header, and the cure, where an axis has no direction in space nor a kind that
    says what it is; else empty.
    """
    try:
        header = nrrd_header(path)
    except OSError:
        return ""
    directions = re.findall(r"none|\(.*?\)", header.get("space directions", ""))
    kinds = header.get("kinds", "").split()
    for axis, direction in enumerate(directions):
        kind = kinds[axis] if axis < len(kinds) else "not given"
        if direction == "none" and kind in ("not given", "???", "none", "domain", "space", "time"):
            what = f"axis {axis} of {len(directions)} has no direction in space, and its kind is {kind}"
            return (
                f"{what}; export one 3D volume, or write `list` for that axis into "
                "the header's `kinds` if it lists volumes"
            )
    return ""


def _three_dimensional(image: sitk.Image) -> sitk.Image:
    """The image without its further axes where they hold one volume: scripts leave it as x, y, z, 1."""
    size = image.GetSize()
    if len(size) < 4 or max(size[3:]) > 1:
        return image
    return sitk.Extract(
        image,
        [*size[:3], *(0 for _ in size[3:])],
        [0] * len(size),
        sitk.ExtractImageFilter.DIRECTIONCOLLAPSETOSUBMATRIX,
    )


def _itk_reason(error: Exception) -> str:
    """The last telling line of an ITK exception, without its objects' addresses: what follows it may be the
    rows of a matrix.
    """
    lines = [line.strip() for line in str(error).splitlines() if re.search("[A-Za-z]{3}", line)]
    return re.sub(r"\(0x[0-9a-fA-F]+\)", "", lines[-1])[:160] if lines else "unknown reason"


def nrrd_header(path: str | os.PathLike) -> dict[str, str]:
    """The fields and key/value pairs in the text header of a NRRD file; empty for other formats.

    SimpleITK before 2.5 does not tell of what kind an axis of components is: colour, phases or layers.
    """
    with Path(path).open("rb") as file:
        start = file.read(_LONGEST_HEADER)
        if not start.startswith(b"NRRD"):
            return {}
    # A blank line ends the header: what follows are voxels, in which no line is worth looking for.
    lines = [line.decode("utf-8", "replace").strip() for line in re.split(rb"\n[ \t\r]*\n", start, maxsplit=1)[0].split(b"\n")[1:]]
    return {key: value.strip() for key, _, value in (line.partition(":=" if ":=" in line else ":") for line in lines)}


def nrrd_list_axis(header: dict[str, str]) -> int | None:
    """The axis of a NRRD file along which whole volumes are listed (phases of a sequence, layers of a segmentation), if there is one."""
    kinds = header.get("kinds", "").split()
    return kinds.index("list") if "list" in kinds else None


def geometry_of(image: sitk.Image, name: str) -> Geometry:
    """Geometry of the first three axes of a SimpleITK image; `name` is what faults call it. Raises `InputError` as `require_real_geometry`."""
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
    shape = tuple(reversed(image.GetSize()[:3]))
    geometry = Geometry(shape, image.GetSpacing()[:3], image.GetOrigin()[:3], tuple(direction.ravel().tolist()))
    require_real_geometry(geometry, name)
    return geometry


def require_real_geometry(geometry: Geometry, name: str) -> None:
    """Raises `InputError` for what no scanner's geometry is: spacing out of all proportion, axes that are not perpendicular (areas and
    distances would be wrong), an origin far away, NaN.
    """
    low, high = PLAUSIBLE_SPACING_MM
    if not all(low <= step <= high for step in geometry.spacing):  # NaN fails the comparison
        raise InputError(f"{name}: has voxels of {_by(geometry.spacing)} mm; spacing must be {low:g} to {high:g} mm: correct the header")
    if not all(abs(place) <= _LARGEST_ORIGIN_MM for place in geometry.origin):
        raise InputError(f"{name}: has its origin at {_by(geometry.origin)} mm; correct the header")
    axes = np.reshape(geometry.direction, (3, 3))
    if not np.abs(axes.T @ axes - np.eye(3)).max() <= _SKEW:
        raise InputError(f"{name}: its axes are not perpendicular (directions {_by(geometry.direction)}); resample it onto a straight grid")


def _by(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)


def volume_of(image: sitk.Image, name: str) -> Volume:
    """The volume of a scalar 3D SimpleITK image; `name` is what faults call it.

    Raises `InputError` for 2D, 4D, colour or vector images, complex numbers and values that are not finite.
    """
    components = image.GetNumberOfComponentsPerPixel()
    if components > 1:
        raise InputError(f"{name}: has {components} values a voxel (a colour or vector image); give a scalar volume")
    if image.GetDimension() != 3:
        raise InputError(f"{name}: is {image.GetDimension()}D; a 3D volume is needed")
    array = sitk.GetArrayFromImage(image)
    if not np.isrealobj(array):
        raise InputError(f"{name}: holds complex numbers; give a magnitude volume")
    require_finite(array, name)
    return Volume(array, geometry_of(image, name))


def require_finite(array: np.ndarray, name: str) -> None:
    """Raises `InputError` when the array holds NaN or infinity."""
    if array.dtype.kind == "f" and not np.isfinite(array.sum(dtype=np.float64)):
        bad = int(np.count_nonzero(~np.isfinite(array)))
        if bad:
            raise InputError(f"{name}: {bad} voxels are NaN or infinite; repair or re-export the image")


def read_volume(path: str | os.PathLike) -> Volume:
    """The scalar 3D volume in a file. Raises `InputError` as `read_sitk` and `volume_of` do."""
    return volume_of(read_sitk(path), str(path))


def to_sitk(volume: Volume) -> sitk.Image:
    """The volume as a SimpleITK image (masks as 8 bit)."""
    array = volume.array.astype(np.uint8) if volume.array.dtype == bool else volume.array
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(volume.geometry.direction)
    return image


def write_volume(volume: Volume, path: str | os.PathLike, metadata: dict[str, str] | None = None, *, compress: bool = True) -> None:
    """Writes the volume under a temporary name first, so that no half-written file is ever left behind.

    Raises `OSError` where it cannot be written.
    """
    image = to_sitk(volume)
    for key, value in (metadata or {}).items():
        image.SetMetaData(key, value)
    path = Path(path)
    _require_utf8_name(path)
    temporary = temporary_name(path)
    try:
        if not _is_written_whole(image, temporary, compress):
            raise OSError(errno.EIO, "the image was not written whole", str(path))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_written_whole(image: sitk.Image, path: Path, compress: bool) -> bool:
    """Writes the image and reads it again. SimpleITK does not say why it fails, and says nothing when a file's last kilobytes find the disk full."""
    try:
        sitk.WriteImage(image, str(path), useCompression=compress)
        sitk.ReadImage(str(path), imageIO=_image_io(path))  # the reader of NRRD, which all our results are, refuses a file that ends too soon
    except RuntimeError:
        return False
    return True


def resample_mask(mask: Volume, geometry: Geometry) -> np.ndarray:
    """The mask on another geometry, nearest neighbour, as a boolean array (K, J, I); voxels outside the mask are False."""
    if mask.geometry.matches(geometry):
        return mask.array > 0
    image = to_sitk(mask.with_array(mask.array > 0))
    reference = sitk.Image(*(int(n) for n in reversed(geometry.shape)), sitk.sitkUInt8)
    reference.SetSpacing(geometry.spacing)
    reference.SetOrigin(geometry.origin)
    reference.SetDirection(geometry.direction)
    resampled = sitk.Resample(image, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    return sitk.GetArrayFromImage(resampled) > 0
