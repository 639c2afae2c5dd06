"""Image files in and out: NIfTI, NRRD, MetaImage, read whole or refused, written under their names only when
whole.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path, PureWindowsPath

import SimpleITK as sitk

from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.inputs import require_file
from HER2ViTLib.files.output import temporary_name
from HER2ViTLib.messages import InputError

from .nifti import require_whole_nifti
from .volume import Volume, to_sitk, volume_of

_IMAGE_IOS = ("NiftiImageIO", "NrrdImageIO", "MetaImageIO", "GDCMImageIO")
_MAX_HEADER = 1 << 20
_HEADER_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
"""Files of text headers, with their voxels behind the header or in other files."""
_MAX_AXIS = 16384
MAX_VALUES = 1 << 31
"""A DCE-MRI of 512 x 512 x 320 voxels and 25 phases."""
_MAX_RATIO = 1032
"""Nothing is deflated further than 1032 to 1."""


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
        require_whole_nifti(path, image)
        image = _three_dimensional(image)
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(
            f"{path}: does not fit into the memory; use a machine with more, or crop the image"
        ) from error
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
        raise InputError(
            f"{str(path).encode(errors='backslashreplace').decode()}: its name is not UTF-8 text; rename the"
            " file or folder"
        ) from error


def _image_io(path: Path) -> str:
    """The name of SimpleITK's reader for the file. Raises `ValueError` for a format that is not read here."""
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
    """The further files that hold the voxels of the image that SimpleITK reads with `io`. Raises `InputError`
    as `_files_of_header`.
    """
    if io == "NiftiImageIO":
        return [path.with_suffix(".img")] if path.suffix == ".hdr" else []
    return [] if io == "GDCMImageIO" else _files_of_header(path)


def _files_of_header(path: Path) -> list[Path]:
    """The further files that a NRRD or MetaImage header takes its voxels from. Raises `InputError` for one
    that lies outside its folder.

    A header from elsewhere must not be able to bring any file of this machine into a picture.
    """
    found = []
    for name in _named_voxel_files(path):
        # "slice%03d.raw 1 20 1" stands for the files of that pattern
        name = re.sub(r"%0?\d*d", "[0-9]*", name.split()[0]) if "%" in name else name
        targets = _files_named(name, path.parent)
        if targets is None:
            raise InputError(
                f"{path}: takes its voxels from {name!r}, outside its folder; put that file beside the header"
            )
        found += targets
    return found


def _files_named(name: str, folder: Path) -> list[Path] | None:
    """The files of a name or pattern in a header's folder; None where a name, or a link, leads out of it."""
    is_absolute = Path(name).is_absolute() or PureWindowsPath(name).is_absolute()
    if is_absolute or ".." in Path(name).parts:
        return None
    targets = sorted(folder.glob(name)) if "*" in name else [folder / name]
    inside = Path(os.path.realpath(folder))
    are_inside = all(inside in Path(os.path.realpath(target)).parents for target in targets)
    return targets if are_inside else None


def companion_files(path: Path) -> list[Path]:
    """The further files that an image file takes its content from: the voxels of a header, the header of
    voxels; none for most images.

    Raises `InputError` for voxels outside the header's folder, `OSError` where the file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in (".hdr", ".img"):
        return [path.with_suffix(".img" if suffix == ".hdr" else ".hdr")]
    # Longer files hold their voxels; reading a pipe could wait for ever.
    may_be_header = suffix in _HEADER_SUFFIXES and path.is_file() and path.stat().st_size <= _MAX_HEADER
    return _files_of_header(path) if may_be_header else []


def _named_voxel_files(path: Path) -> list[str]:
    """The voxel files that a NRRD or MetaImage header names; none where header and voxels are one file."""
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER)
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
    """Raises `InputError` for a header that declares more voxels than the file can hold, compressed as it may
    be, or than anyone can use.
    """
    size = reader.GetSize()
    values = math.prod(size) * reader.GetNumberOfComponents()
    wide = max(size) > _MAX_AXIS
    if wide or not 0 < values <= min(MAX_VALUES, _MAX_RATIO * file_bytes):
        raise InputError(
            f"{path}: its header declares {' x '.join(map(str, size))} voxels, which its {file_bytes} bytes"
            " cannot be; export it again"
        )


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
        start = file.read(_MAX_HEADER)
        if not start.startswith(b"NRRD"):
            return {}
    # A blank line ends the header: what follows are voxels, in which no line is worth looking for.
    text = re.split(rb"\n[ \t\r]*\n", start, maxsplit=1)[0].decode("utf-8", "replace")
    header = {}
    for line in text.split("\n")[1:]:
        key, _, value = line.strip().partition(":=" if ":=" in line else ":")
        header[key] = value.strip()
    return header


def nrrd_list_axis(header: dict[str, str]) -> int | None:
    """The axis of a NRRD file along which whole volumes are listed (phases of a sequence, layers of a
    segmentation), if there is one.
    """
    kinds = header.get("kinds", "").split()
    return kinds.index("list") if "list" in kinds else None


def read_volume(path: str | os.PathLike) -> Volume:
    """The scalar 3D volume in a file. Raises `InputError` as `read_sitk` and `volume_of` do."""
    return volume_of(read_sitk(path), str(path))


def write_volume(
    volume: Volume, path: str | os.PathLike, metadata: dict[str, str] | None = None, *, compress: bool = True
) -> None:
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
    """Writes the image and reads it again. SimpleITK does not say why it fails, and says nothing when a
    file's last kilobytes find the disk full.
    """
    try:
        sitk.WriteImage(image, str(path), useCompression=compress)
        # the reader of NRRD, which all our results are, refuses a file that ends too soon
        sitk.ReadImage(str(path), imageIO=_image_io(path))
    except RuntimeError:
        return False
    return True


def image_sha256(path: str | os.PathLike, sha256: Callable[[Path], str] = file_sha256) -> str:
    """SHA-256 of an image file; where its content lies in several files (a header and its voxels), that of
    the hashes of all of them.

    `sha256` hashes one file. Raises what `companion_files` raises.
    """
    path = Path(path)
    further = companion_files(path)
    if not further:
        return sha256(path)
    return hashlib.sha256("".join(map(sha256, (path, *further))).encode()).hexdigest()
