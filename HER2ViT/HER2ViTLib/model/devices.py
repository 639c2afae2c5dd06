"""Which device the models run on."""

from __future__ import annotations

import re

import torch

from HER2ViTLib.messages import InputError, ReadingWarning


def choose_device(name: str) -> tuple[torch.device, list[ReadingWarning]]:
    """The device to run on: `auto` takes a GPU if there is one, else the CPU with a warning.

    Raises `InputError` for a device that does not exist or is not there.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise InputError(f"device {name!r}: unknown; use auto, cpu, cuda, cuda:N or mps")
    cuda_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if name == "auto":
        if cuda_devices or mps:
            return torch.device("cuda" if cuda_devices else "mps"), []
        return torch.device("cpu"), [ReadingWarning("device_fallback", "no GPU was found, the CPU was used")]
    wanted = int(name.partition(":")[2] or 0)
    if (name.startswith("cuda") and wanted >= cuda_devices) or (name == "mps" and not mps):
        raise InputError(
            f"device {name}: is not there ({cuda_devices} CUDA devices, MPS"
            f" {'present' if mps else 'absent'}); use auto or cpu"
        )
    return torch.device(name), []
