"""The form of the chosen command: its fields as widgets, their values kept from one time to the next."""

import json

import qt

from .editors import editorOf

# Slicer imports this file at start-up: the functions import what is heavy.

SETTINGS = "HER2ViTTraining"


class FormSection:
    """The form in the panel whose widgets are `ui`; `onChanged` is called when a value changes."""

    def __init__(self, ui, onChanged):
        self.ui = ui
        self._onChanged = onChanged
        self._editors = {}
        self.fields = []
        self.command = ""

    def show(self, command, fields):
        """Shows the form of a command, with the values that it had last."""
        self.command = ""  # what changes while the form is built is no choice of the user's
        for layout in (self.ui.firstFields.layout(), self.ui.otherFields.layout()):
            while layout.rowCount():
                layout.removeRow(0)
        self._editors = {}
        self.fields = fields
        kept = self._kept(command)
        for field in fields:
            editor = editorOf(field, self._changed)
            editor.setValue(kept.get(field.name))
            label = qt.QLabel(f"{field.title}:")
            for widget in (label, editor.widget):
                widget.toolTip = field.help
            rows = (self.ui.firstFields if field.first else self.ui.otherFields).layout()
            rows.addRow(label, editor.widget)
            self._editors[field.name] = editor
        self.ui.otherSection.visible = not all(field.first for field in fields)
        self.command = command
        self._onChanged()

    def values(self):
        """What is filled in, {name of the field: value}."""
        return {name: editor.value() for name, editor in self._editors.items()}

    def fill(self, values):
        """Fills in these fields of the shown form, and empties the others."""
        for name, editor in self._editors.items():
            editor.setValue(values.get(name))

    def keep(self):
        """Keeps the values for the next time that the command is chosen."""
        self._keep(self.command, self.values())

    def offer(self, command, name, value):
        """Keeps a value for a field of a form that is not shown, unless it has one already."""
        kept = self._kept(command)
        if not kept.get(name):
            self._keep(command, {**kept, name: value})

    def _keep(self, command, values):
        qt.QSettings().setValue(f"{SETTINGS}/{command}", json.dumps(values))

    def _kept(self, command):
        try:
            kept = json.loads(qt.QSettings().value(f"{SETTINGS}/{command}") or "{}")
        except ValueError:
            return {}
        return kept if isinstance(kept, dict) else {}

    def _changed(self, *state):
        if self.command:
            self._onChanged()
