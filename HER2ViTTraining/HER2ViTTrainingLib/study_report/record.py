"""What a command leaves beside its results: its own words, its settings, the hashes of what it read and
wrote.

One file for all commands, since only so the results of a study can be held against each other. It names no
file it has read and no time, so the same run leaves the same record.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from HER2ViTLib import __version__
from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.inputs import parse_json, read_file
from HER2ViTLib.files.output import RECORD_FILE, json_bytes, write_atomically
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError
from HER2ViTLib.model.config_file import CONFIG_FILE

MAX_RECORD_BYTES = 4 << 20


@dataclass(frozen=True)
class Record:
    """How results came about.

    `command`: its name; `line`: as it was given, files by their role. `settings`: the values of its options.
    `inputs`: role and SHA-256 of each file or bundle. `outputs`: SHA-256 of each file written, by its name in
    the folder.
    """

    command: str
    line: str
    settings: Mapping[str, Any]
    inputs: Sequence[tuple[str, str]]
    outputs: Mapping[str, str]


def write_record(
    folder: Path,
    command: str,
    line: str,
    settings: Mapping[str, Any],
    inputs: Sequence[tuple[str, Path]],
    written: Sequence[str],
) -> None:
    """Writes `made_by.json` beside the files `written`, of which folders are left out. `inputs`: role and
    path.
    """
    files = [name for name in written if (folder / name).is_file()]
    content = {
        "notice": RESEARCH_NOTICE,
        "command": command,
        "line": line,
        "settings": dict(settings),
        "inputs": [{"role": role, "sha256": input_sha256(path)} for role, path in inputs],
        "outputs": {name: file_sha256(folder / name) for name in files},
        "versions": {"her2vit": __version__, "python": platform.python_version()},
    }
    write_atomically(folder / RECORD_FILE, json_bytes(content))


def input_sha256(path: Path) -> str:
    """Names an input: the hash of a file; of a bundle that of its config, which holds that of the weights; of
    another folder that of all its files and their hashes.
    """
    if path.is_file():
        return file_sha256(path)
    if (path / CONFIG_FILE).is_file():
        return file_sha256(path / CONFIG_FILE)
    digest = hashlib.sha256()
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {file_sha256(file)}\n".encode())
    return digest.hexdigest()


def read_record(folder: Path) -> Record | None:
    """The record in a folder, None where there is none. Raises `InputError` for a damaged one."""
    path = folder / RECORD_FILE
    if not path.exists():
        return None
    try:
        content = parse_json(read_file(path, "a folder with the results of a command", MAX_RECORD_BYTES))
        return Record(
            str(content["command"]),
            str(content["line"]),
            dict(content["settings"]),
            recorded_inputs(content),
            {str(name): str(sha256) for name, sha256 in content["outputs"].items()},
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is damaged; run the command again that wrote this folder") from error


def recorded_inputs(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Role and SHA-256 of the inputs that a JSON file of ours names."""
    return [(str(one["role"]), str(one["sha256"])) for one in content["inputs"]]
