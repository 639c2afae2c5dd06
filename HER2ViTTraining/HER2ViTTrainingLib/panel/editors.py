"""One widget a field of a command's form, by the kind of the field."""

import qt
import slicer
from slicer.i18n import tr as _

# Slicer imports this file at start-up: the functions import what is heavy.

LINES = 3
"""Height of an editor of several values, in lines."""


def editorOf(field, onChanged):
    """The editor of a field; `onChanged` is called when its value changes."""
    from HER2ViTTrainingLib.workflow.fields import Kind

    if field.kind is Kind.SWITCH:
        return SwitchEditor(field, onChanged)
    if field.kind is Kind.CHOICE:
        return ChoiceEditor(field, onChanged)
    return (ManyEditor if field.many else TextEditor)(field, onChanged)


class SwitchEditor:
    """On or off."""

    def __init__(self, field, onChanged):
        self.widget = qt.QCheckBox()
        self.widget.connect("toggled(bool)", onChanged)

    def value(self):
        return self.widget.checked

    def setValue(self, value):
        self.widget.checked = bool(value)


class ChoiceEditor:
    """One of a few words; none where there is no default."""

    def __init__(self, field, onChanged):
        self.widget = qt.QComboBox()
        self.widget.addItems([*([] if field.default else [""]), *field.choices])
        self._default = field.default
        self.setValue(field.default)
        self.widget.connect("currentIndexChanged(int)", onChanged)

    def value(self):
        return self.widget.currentText

    def setValue(self, value):
        self.widget.currentIndex = max(self.widget.findText(value or self._default), 0)


class TextEditor:
    """A word, a number or a path. Empty it shows in grey its default, or what it is for."""

    def __init__(self, field, onChanged):
        self._edit = qt.QLineEdit()
        self._edit.placeholderText = field.default or field.help
        self._edit.connect("textChanged(QString)", onChanged)
        self.widget = withBrowseButtons(field, self._edit, self._browsed)

    def _browsed(self, paths):
        self._edit.text = paths[0]

    def value(self):
        return self._edit.text

    def setValue(self, value):
        self._edit.text = value or ""


class ManyEditor:
    """Several words or paths, one a line."""

    def __init__(self, field, onChanged):
        self._edit = qt.QPlainTextEdit()
        self._edit.placeholderText = _("one a line: {help}").format(help=field.help)
        self._edit.tabChangesFocus = True
        self._edit.setFixedHeight(LINES * self._edit.fontMetrics().lineSpacing() + 10)
        self._edit.connect("textChanged()", onChanged)
        self.widget = withBrowseButtons(field, self._edit, self._browsed)

    def _browsed(self, paths):
        self.setValue([*self.value(), *paths])

    def value(self):
        return [line for line in self._edit.plainText.splitlines() if line.strip()]

    def setValue(self, value):
        self._edit.setPlainText("\n".join(value or ()))


def withBrowseButtons(field, edit, take):
    """The editor with a button for each way to look for its path; `take` is called with the chosen paths."""
    dialogs = _dialogsOf(field)
    if not dialogs:
        return edit
    widget = qt.QWidget()
    row = qt.QHBoxLayout(widget)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(edit)
    for title, dialog in dialogs:
        button = qt.QToolButton()
        button.text = title
        button.toolTip = _("Choose: {field}").format(field=field.title)
        button.connect("clicked()", lambda dialog=dialog: _choose(field, dialog, take))
        row.addWidget(button)
    return widget


def _dialogsOf(field):
    """The title of each button, and the dialog that it opens."""
    from HER2ViTTrainingLib.workflow.fields import Kind

    files = (_("Files..."), _openFiles) if field.many else (_("..."), _openFile)
    return {
        Kind.FILE: [files],
        Kind.FOLDER: [(_("..."), _openFolder)],
        Kind.FILE_OR_FOLDER: [
            (_("Files...") if field.many else _("File..."), files[1]),
            (_("Folder..."), _openFolder),
        ],
        Kind.NEW_FILE: [(_("..."), _newFile)],
    }.get(field.kind, [])


def _choose(field, dialog, take):
    paths = [path for path in dialog(field.title) if path]
    if paths:
        take(paths)


def _openFile(title):
    return [qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title)]


def _openFiles(title):
    return list(qt.QFileDialog.getOpenFileNames(slicer.util.mainWindow(), title))


def _openFolder(title):
    return [qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title)]


def _newFile(title):
    return [qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title)]
