"""What the chosen run wrote: tables and pictures in the panel, reports in the browser."""

import qt
from slicer.i18n import tr as _

# Slicer imports this file at start-up: the functions import what is heavy.


class ResultsSection:
    """The results in the panel whose widgets are `ui`."""

    def __init__(self, ui):
        self.ui = ui
        self._files = []
        self.ui.filesList.connect("currentRowChanged(int)", self._show)
        self.ui.filesList.connect("itemDoubleClicked(QListWidgetItem*)", self.onOpen)
        self.ui.openButton.connect("clicked()", self.onOpen)
        self.ui.folderButton.connect("clicked()", self.onOpenFolder)
        self.show(None)

    @property
    def chosen(self):
        """The path of the chosen file; None without one."""
        row = self.ui.filesList.currentRow
        return self._files[row] if 0 <= row < len(self._files) else None

    def show(self, run):
        """Lists what a run wrote; nothing for None."""
        from HER2ViTTrainingLib.workflow.results import shown_files

        self._files = shown_files(run.written) if run else []
        self.ui.filesList.clear()
        for path in self._files:
            self.ui.filesList.addItem(path.name)
        self.ui.filesList.currentRow = 0 if self._files else -1
        self._show()

    def onOpen(self, item=None):
        """Opens the chosen file with the system's own program: a report in the browser."""
        self.open(self.chosen)

    def onOpenFolder(self):
        self.open(self.chosen.parent)

    def open(self, path):
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))

    def _show(self, row=-1):
        from HER2ViTTrainingLib.workflow.results import PICTURE, TABLE, shown_as

        path = self.chosen
        kind = shown_as(path) if path else ""
        self.ui.openButton.enabled = path is not None
        self.ui.folderButton.enabled = path is not None
        self.ui.resultTable.visible = kind == TABLE
        self.ui.pictureLabel.visible = kind == PICTURE
        self.ui.resultLabel.text = "" if path else _("Nothing to show yet.")
        if kind == TABLE:
            self._showTable(path)
        elif kind == PICTURE:
            self._showPicture(path)
        elif path:
            self.ui.resultLabel.text = _("A report: Open shows it in the browser.")

    def _showTable(self, path):
        from HER2ViTLib.messages import InputError
        from HER2ViTTrainingLib.workflow.results import MOST_ROWS, table_of

        table = self.ui.resultTable
        try:
            heads, rows, cut = table_of(path)
        except InputError as error:
            table.visible = False
            self.ui.resultLabel.text = str(error)
            return
        table.setColumnCount(len(heads))
        table.setRowCount(len(rows))
        table.setHorizontalHeaderLabels(heads)
        for i, row in enumerate(rows):
            for j, cell in enumerate(row[: len(heads)]):
                table.setItem(i, j, qt.QTableWidgetItem(cell))
        table.resizeColumnsToContents()
        if cut:
            self.ui.resultLabel.text = _("The first {count} rows.").format(count=MOST_ROWS)

    def _showPicture(self, path):
        picture = qt.QPixmap(str(path))
        width = max(self.ui.filesList.width, 200)
        self.ui.pictureLabel.setPixmap(
            picture.scaledToWidth(min(width, picture.width()), qt.Qt.SmoothTransformation)
        )
