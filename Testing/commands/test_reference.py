"""Docs/commands.md is what the parsers say."""

from conftest import REPOSITORY
from HER2ViTTrainingLib.commands.main import build_parser, commands_of
from HER2ViTTrainingLib.commands.options import GUIDES
from HER2ViTTrainingLib.commands.reference import reference


def test_the_page_of_commands_is_current():
    written = (REPOSITORY / "Docs" / "commands.md").read_text(encoding="utf-8")
    assert written == reference(build_parser()), "make docs writes it anew"


def test_every_command_has_its_guide_and_every_guide_its_command():
    assert {path.stem for path in GUIDES.glob("*.md")} == set(commands_of(build_parser()))


def test_every_option_is_explained():
    for name, command in commands_of(build_parser()).items():
        for action in command._actions:
            assert action.help, f"{name}: {action.option_strings or action.dest}"
