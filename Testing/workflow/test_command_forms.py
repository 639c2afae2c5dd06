"""Forms made from the commands' parsers, and command lines made from forms."""

import shlex

import pytest

from HER2ViTTrainingLib.commands.main import build_parser, commands_of
from HER2ViTTrainingLib.workflow.command_line import fault_of, shell_line, words_of
from HER2ViTTrainingLib.workflow.fields import Kind, fields_of

PARSER = build_parser()
COMMANDS = commands_of(PARSER)


def fields(command):
    return fields_of(COMMANDS[command])


def field(command, name):
    return next(one for one in fields(command) if one.name == name)


def parsed(command, **values):
    words = words_of(command, fields(command), values)
    assert fault_of(PARSER, words) == ""
    return vars(PARSER.parse_args(words))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_argument_of_every_command_has_a_field_with_its_help(command):
    arguments = {action.dest for action in COMMANDS[command]._actions} - {"help", "debug"}
    assert {one.name for one in fields(command)} == arguments
    for one in fields(command):
        assert one.help and "%" not in one.help.replace("n (%)", "").replace("90 %", ""), one
        assert one.title[0].isupper()
        assert (one.kind is Kind.CHOICE) == bool(one.choices)
        assert not one.choices or not one.default or one.default in one.choices


def test_placeholders_say_how_a_field_is_filled_in():
    kinds = {
        ("train", "manifest"): Kind.FILE,
        ("train", "task"): Kind.CHOICE,
        ("train", "pretrained"): Kind.FILE,
        ("train", "epochs"): Kind.TEXT,
        ("train", "cache"): Kind.FOLDER,
        ("train", "out"): Kind.FOLDER,
        ("read", "image"): Kind.FILE_OR_FOLDER,
        ("read", "roi"): Kind.FILE_OR_FOLDER,
        ("read", "bundle"): Kind.FOLDER,
        ("read", "keep_names"): Kind.SWITCH,
        ("segment", "out"): Kind.NEW_FILE,
        ("import", "source"): Kind.CHOICE,
        ("series", "folder"): Kind.FOLDER,
    }
    assert {key: field(*key).kind for key in kinds} == kinds


def test_what_is_required_given_often_or_left_to_a_default_follows_the_parser():
    first = {one.name for one in fields("train") if one.first}
    assert first == {"manifest", "task", "out"} == {one.name for one in fields("train") if one.required}
    # One of two sources is required, neither by itself.
    assert {one.name for one in fields("features") if one.first} == {"manifest", "session", "out"}
    assert {one.name for one in fields("features") if one.required} == {"out"}
    assert {one.name for one in fields("read") if one.many} == {"image", "bundle", "series"}
    assert field("train", "arch").default == "vit_tiny_patch16_224"
    assert field("train", "slice_count").default == ""
    assert field("simulate", "scale").default == "1.0"


def test_a_title_is_the_flag_in_words():
    titles = {
        ("read", "roi"): "ROI",
        ("read", "image"): "Image",
        ("read", "dicom_out"): "DICOM out",
        ("table1", "cases"): "CSV",
        ("train", "folds_by"): "Folds by",
    }
    assert {key: field(*key).title for key in titles} == titles


def test_a_filled_form_becomes_words_that_the_parser_reads_back():
    options = parsed(
        "read",
        image=["a b/phase0.nrrd", "phase1.nrrd", " "],
        roi="roi.seg.nrrd",
        bundle=["task1", "task2"],
        out="out",
        early_phase="1",
        scene=True,
        attention="rollout",
        device="auto",
    )
    assert [str(path) for path in options["image"]] == ["a b/phase0.nrrd", "phase1.nrrd"]
    assert [str(path) for path in options["bundle"]] == ["task1", "task2"]
    assert (options["early_phase"], options["scene"], options["no_figures"]) == (1, True, False)


def test_what_is_empty_or_the_default_is_left_out():
    values = {"cases": "5", "seed": "1", "scale": "1.0", "protocol": "A", "out": "cohort"}
    assert words_of("simulate", fields("simulate"), values) == ["simulate", "--cases", "5", "--out", "cohort"]
    assert words_of("simulate", fields("simulate"), {}) == ["simulate"]


def test_a_value_that_begins_with_a_dash_is_no_option():
    options = parsed("segment", image=["-image.nrrd"], seed_point="-30,12,5", out="-x.seg.nrrd")
    assert options["seed_point"] == (-30, 12, 5)
    assert (options["image"][0].name, options["out"].name) == ("-image.nrrd", "-x.seg.nrrd")


def test_the_parser_says_in_one_line_what_is_wrong(capsys):
    told = {
        (): "the following arguments are required: MANIFEST, --task, --out",
        ("m.csv", "--task", "x", "--out", "o"): "argument --task: invalid choice: 'x'",
        ("m.csv", "--task", "zero-vs-rest", "--out", "o", "--epochs", "0"): (
            "argument --epochs: '0' is not a whole number from 1 to 1000000"
        ),
    }
    for words, fault in told.items():
        assert fault_of(PARSER, ["train", *words]).startswith(fault)
    assert "MANIFEST" in fault_of(PARSER, ["features", "--out", "o"])
    assert fault_of(PARSER, ["train", "m.csv", "--task", "zero-vs-rest", "--out", "o"]) == ""
    assert capsys.readouterr() == ("", "")


def test_the_command_line_to_copy_is_quoted():
    words = ["evaluate", "my study/predictions.csv", "--by", "it's $HOME", "--out", "figures"]
    assert shlex.split(shell_line(words)) == ["her2vit", *words]
