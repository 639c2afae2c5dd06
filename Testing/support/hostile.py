"""What every hostile or odd input must come to: a right result, or faults that a user can read."""

from __future__ import annotations

import copy
import json
import random
import re

from hypothesis import HealthCheck, settings

from HER2ViTLib.messages import InputError

QUICK = {"derandomize": True, "deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
SCRIPT = "<script>alert(1)</script>"
NUMBERS = (
    *("0", "-1", "-0.0", "1e-320", "1e308", "1e400", "99999999999999999999"),
    *("nan", "inf", "-inf", "0x10", "1,5", "", "abc", "\N{ARABIC-INDIC DIGIT TWO}"),
)


def quick(examples):
    """Hypothesis settings: the same examples every time, so many of them."""
    return settings(max_examples=examples, **QUICK)


def outcome(call, *arguments, **options):
    """(result, faults): one of them is None. What is neither, another exception, fails the test."""
    try:
        return call(*arguments, **options), None
    except InputError as error:
        assert error.faults
        for fault in error.faults:
            assert "Traceback" not in fault
            assert not re.search(r"(\(| at )0x[0-9a-f]{6}", fault), "the address of an object"
            assert fault.encode()
        return None, error.faults


def faults_of(call, *arguments, **options):
    """The faults as one text. A result fails the test."""
    result, faults = outcome(call, *arguments, **options)
    assert faults is not None, f"was taken: {str(result)[:200]}"
    return "\n".join(faults)


def damaged(data, seed):
    """The bytes with some of them changed, cut out, doubled, or cut off; the same for the same seed."""
    choose = random.Random(seed)
    data = bytearray(data)
    for _ in range(choose.randint(1, 4)):
        at = choose.randrange(len(data)) if choose.random() < 0.5 else choose.randrange(min(400, len(data)))
        kind = choose.randrange(5)
        if kind == 0:
            data[at] = choose.randrange(256)
        elif kind == 1:
            data[at : at + choose.randint(1, 8)] = choose.choice(
                (b"\0", b"\xff", b"-1", b"nan", b"9" * 20, b"\n", b"../" * 9)
            )
        elif kind == 2:
            del data[at : at + choose.randint(1, 40)]
        elif kind == 3:
            data[at:at] = data[at : at + choose.randint(1, 40)]
        elif len(data) > 20:
            del data[at:]
        data = data or bytearray(b"x")
    return bytes(data)


def files_in(folder):
    """Every path below a folder, with its bytes, to see what a call has changed."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


# JSON

VALUES = (
    *(
        None,
        True,
        False,
        0,
        -1,
        2,
        0.5,
        1e308,
        -1e308,
        10**30,
        10**400,
        float("nan"),
        float("inf"),
        "",
        "x" * 3000,
        "0.5",
        "../../x",
        "/etc/passwd",
    ),
    *(
        SCRIPT,
        "$\\bad$",
        "=1+1",
        "hf-hub:a/b",
        "\ud800",
        "\x00",
        "\x1b[2J",
        [],
        {},
        [[1]],
        [None],
        [0.5, 0.5],
        [1e308, -1e308],
        {"a": {"b": 1}},
    ),
    *([64] * 40, [["deep"] * 2] * 2, "deep"),
)
"""What a value in a JSON file may be replaced by; "deep" is written as two thousand brackets."""


def places(content, path=()):
    """The path of every value in plain data, inner ones included."""
    yield path
    if isinstance(content, (dict, list)):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from places(value, (*path, key))


def replaced(content, path, value):
    """A copy of plain data with another value at a path."""
    if not path:
        return value
    content = copy.deepcopy(content)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return content


def written(content):
    """Plain data as JSON."""
    return json.dumps(content).replace('"deep"', "[" * 1000 + "]" * 1000)
