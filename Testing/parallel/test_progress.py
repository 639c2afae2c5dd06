"""Progress: the libraries tell, only the commands draw."""

import ast
import io
import sys

from conftest import REPOSITORY
from HER2ViTTrainingLib.commands.options import progress_bar
from HER2ViTTrainingLib.parallel.processes import in_order
from HER2ViTTrainingLib.parallel.progress import AS_LINES, ProgressLine, prefixed, progress_line


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_shows_each_stage_with_its_text_on_a_terminal_only(monkeypatch):
    for stream, drawn in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress_bar("train") as progress:
            for stage, total in (("inputs", 3), ("loss 0.5", 40)):
                progress(0, total)
                progress(2, total, stage)
        text = stream.getvalue()
        assert bool(text) is drawn
        # The last state is always drawn: the second stage's, counted from its own beginning.
        assert ("2/40" in text.rpartition("train:")[2]) is drawn
        assert ("loss 0.5" in text.rpartition("train:")[2]) is drawn


def test_lines_for_a_panel_come_back_as_they_were_told(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setenv(AS_LINES, "1")
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("train") as progress:
        progress(0, 3)
        progress(2, 3, "loss 0.5\nsecond line, naïve")
    told = [progress_line(line) for line in stream.getvalue().splitlines()]
    assert told == [ProgressLine("train", 0, 3), ProgressLine("train", 2, 3, "loss 0.5\nsecond line, naïve")]


def test_other_lines_and_lines_cut_off_tell_no_progress():
    whole = str(ProgressLine("train", 1, 3))
    for line in ("", "wrote model.safetensors", "progress 1/3", whole[:-1], whole[:-8], "her2vit-progress 3"):
        assert progress_line(line) is None


def test_a_prefix_says_which_of_several_is_told_of():
    told = []
    progress = prefixed(lambda *words: told.append(words), "seed5")
    progress(1, 2)
    progress(2, 2, "loss 0.5")
    assert told == [(1, 2, "seed5"), (2, 2, "seed5: loss 0.5")]
    assert prefixed(None, "seed5") is None


def test_work_in_order_tells_of_every_job():
    told = []
    assert in_order(abs, [-1, 2], progress=lambda done, total, text="": told.append((done, total))) == [1, 2]
    assert told == [(1, 2), (2, 2)]


def test_only_the_commands_draw_progress_and_write_to_standard_error():
    for library in ("HER2ViT/HER2ViTLib", "HER2ViTTraining/HER2ViTTrainingLib"):
        for path in sorted((REPOSITORY / library).rglob("*.py")):
            if path.parent.name == "commands":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                assert not (isinstance(node, ast.ImportFrom | ast.Import) and "tqdm" in ast.unparse(node)), (
                    path
                )
                assert not (isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.stderr"), path
