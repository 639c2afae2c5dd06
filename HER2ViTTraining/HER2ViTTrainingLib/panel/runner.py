"""Runs the queue's commands, each in a process of its own, so that reading cases goes on beside them."""

import codecs
from typing import Any

import qt

# Slicer imports this file at start-up: the functions import what is heavy.

PATIENCE_MS = 10_000
"""How long a run that was cancelled may take to end by itself."""


class Runner:
    """Works through the queue; `onChanged(run)` is called when anything of a run has changed."""

    def __init__(self, queue, onChanged):
        self._queue = queue
        self._onChanged = onChanged
        self._process: Any = None
        self._run: Any = None
        self._decoder: Any = None

    @property
    def pid(self):
        """The process that is there, which leads the group of all that it starts; 0 without one."""
        return self._process.processId() if self._process else 0

    def startNext(self):
        """Starts the run whose turn it is, if none is under way."""
        from HER2ViTTrainingLib.workflow.process import ENVIRONMENT, SCRIPT, WORKING_FOLDER, interpreter

        run = self._queue.start_next()
        if run is None:
            return
        self._run = run
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, value in ENVIRONMENT.items():
            environment.insert(name, value)
        process = qt.QProcess()
        self._process = process
        process.setProcessEnvironment(environment)
        process.setProcessChannelMode(qt.QProcess.MergedChannels)
        process.setWorkingDirectory(str(WORKING_FOLDER))
        process.connect("readyReadStandardOutput()", self._hear)
        process.connect("finished(int,QProcess::ExitStatus)", self._ended)
        process.connect("errorOccurred(QProcess::ProcessError)", self._failed)
        process.start(interpreter(), [str(SCRIPT), *run.words])
        self._onChanged(run)

    def cancel(self, run):
        """Cancels a run: one that waits at once, one that runs after it has put its folder in order."""
        from HER2ViTTrainingLib.workflow.process import end, interrupt

        if self._queue.cancel(run):
            pid = self.pid
            interrupt(pid)
            qt.QTimer.singleShot(PATIENCE_MS, lambda: end(pid) if self._run is run else None)
        self._onChanged(run)

    def stop(self):
        """Ends the run that is under way and empties the queue: the panel closes."""
        from HER2ViTTrainingLib.workflow.process import end, interrupt

        for run in self._queue.unfinished:
            self._queue.cancel(run)
        process = self._process
        if process is None:
            return
        pid = self.pid
        interrupt(pid)
        if not process.waitForFinished(PATIENCE_MS // 4):
            end(pid)
            process.waitForFinished(PATIENCE_MS // 4)

    def _hear(self):
        self._take(self._process.readAllStandardOutput().data())
        self._onChanged(self._run)

    def _take(self, output):
        self._run.hear(self._decoder.decode(output))

    def _ended(self, code, status):
        self._take(self._process.readAllStandardOutput().data())
        # A process that was killed has no exit status.
        self._finish(code if status == qt.QProcess.NormalExit else 1)

    def _failed(self, error):
        if error == qt.QProcess.FailedToStart:
            self._run.hear(f"{self._process.program()}: {self._process.errorString()}\n")
            self._finish(1)

    def _finish(self, code):
        run = self._run
        run.end(code)
        self._process.deleteLater()
        self._process = None
        self._run = None
        self._onChanged(run)
        self.startNext()
