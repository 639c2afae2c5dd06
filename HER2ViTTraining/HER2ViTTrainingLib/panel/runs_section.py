"""The runs: what waits, runs and has ended; the output and the progress of the chosen one."""

import qt
import slicer

from .runner import Runner

# Slicer imports this file at start-up: the functions import what is heavy.


class RunsSection:
    """The runs in the panel whose widgets are `ui`; `onChosen(run)` is called when another run is chosen, or
    the chosen one has ended.
    """

    def __init__(self, ui, onChosen):
        from HER2ViTTrainingLib.workflow.runs import MOST_LINES, RunQueue

        self.ui = ui
        self._onChosen = onChosen
        self._shownLines = 0
        self._shownRun = None
        self.queue = RunQueue()
        self.runner = Runner(self.queue, self._update)
        self.ui.logText.maximumBlockCount = MOST_LINES
        self.ui.logText.font = qt.QFontDatabase.systemFont(qt.QFontDatabase.FixedFont)
        self.ui.runsList.connect("currentRowChanged(int)", self._choose)
        self.ui.cancelButton.connect("clicked()", self.onCancel)
        self.ui.againButton.connect("clicked()", self.onAgain)
        self.ui.clearButton.connect("clicked()", self.onClear)
        self._list()

    @property
    def chosen(self):
        """The run that is chosen in the list; None without one."""
        row = self.ui.runsList.currentRow
        return self.queue.runs[row] if 0 <= row < len(self.queue.runs) else None

    def add(self, words):
        """Queues a run, chooses it and starts it when its turn comes."""
        run = self.queue.add(tuple(words))
        self._list(run)
        self.runner.startNext()
        return run

    def onCancel(self):
        self.runner.cancel(self.chosen)

    def onAgain(self):
        self.add(self.chosen.words)

    def onClear(self):
        chosen = self.chosen
        self.queue.clear_finished()
        self._list(chosen)

    def _list(self, chosen=None):
        """Lists all runs anew, and chooses one."""
        self.ui.runsList.blockSignals(True)
        self.ui.runsList.clear()
        for run in self.queue.runs:
            self.ui.runsList.addItem(_told(run))
        runs = self.queue.runs
        self.ui.runsList.currentRow = runs.index(chosen) if chosen in runs else len(runs) - 1
        self.ui.runsList.blockSignals(False)
        self._choose()

    def _update(self, run):
        """A run has changed: its line in the list, and what is shown of it."""
        from HER2ViTTrainingLib.workflow.runs import UNFINISHED

        if run.state not in UNFINISHED:
            # Heard of while a case is read in the other module.
            slicer.util.showStatusMessage(_told(run), 10_000)
        if run in self.queue.runs:
            self.ui.runsList.item(self.queue.runs.index(run)).setText(_told(run))
        if run is self.chosen:
            self._showChosen()
            if run.state not in UNFINISHED:
                self._onChosen(run)

    def _choose(self, row=-1):
        self._showChosen()
        self._onChosen(self.chosen)

    def _showChosen(self):
        from HER2ViTTrainingLib.workflow.runs import UNFINISHED, State

        run = self.chosen
        self.ui.cancelButton.enabled = run is not None and run.state in (State.WAITING, State.RUNNING)
        self.ui.againButton.enabled = run is not None and run.state not in UNFINISHED
        self.ui.clearButton.enabled = len(self.queue.unfinished) < len(self.queue.runs)
        self._showOutput(run)
        self._showProgress(run)

    def _showOutput(self, run):
        heard = run.heard if run else 0
        new = heard - self._shownLines
        if run is self._shownRun and run and new <= len(run.lines):
            if new:
                self.ui.logText.appendPlainText("\n".join(run.lines[-new:]))
        else:
            self.ui.logText.setPlainText("\n".join(run.lines) if run else "")
        self._shownRun = run
        self._shownLines = heard

    def _showProgress(self, run):
        from HER2ViTTrainingLib.workflow.runs import UNDER_WAY

        told = run.progress if run else None
        underWay = run is not None and run.state in UNDER_WAY
        self.ui.progressBar.visible = underWay
        self.ui.progressLabel.visible = underWay
        # Without a number yet the bar only moves: 0 of 0.
        self.ui.progressBar.maximum = told.total if told else 0
        self.ui.progressBar.value = told.done if told else 0
        self.ui.progressLabel.text = (
            f"{told.what}: {told.text}" if told and told.text else told.what if told else ""
        )


def _told(run):
    return f"{run.title}: {run.state.value}"
