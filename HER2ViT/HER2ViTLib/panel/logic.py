"""From the parameter node to the libraries and back; usable without the panel."""

import importlib.util
import logging
import tempfile
import time
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModuleLogic,
)

from .parameters import TASKS, HER2ViTParameterNode

# Slicer imports this at start-up: heavy rooms are imported by the functions that need them.


class HER2ViTLogic(ScriptedLoadableModuleLogic):
    """From the parameter node to the libraries and back; usable without the panel."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        from HER2ViTLib.workflow.loaded_models import LoadedModels
        from HER2ViTLib.workflow.shown_reading import CAME_WITH_SCENE

        self._models = LoadedModels()
        self._readTable = None
        self._readFrom = CAME_WITH_SCENE
        self.session = None

    def getParameterNode(self):
        return HER2ViTParameterNode(super().getParameterNode())

    def segmentEditorNode(self):
        """The embedded Segment Editor's own parameter node, apart from that of the Segment Editor module."""
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        return node

    # What is chosen

    def phaseNodes(self, parameters):
        """The chosen volumes that are still in the scene."""
        return [node for node in parameters.phases if node is not None]

    def loadedVolumes(self, parameters):
        """The volumes in the scene that are images, not results of ours."""
        results = (
            parameters.attentionTask1,
            parameters.attentionTask2,
            parameters.image if parameters.sequence else None,
        )
        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        return [
            node for node in nodes if node.GetClassName() == "vtkMRMLScalarVolumeNode" and node not in results
        ]

    def addPhases(self, parameters, nodes):
        """Puts volumes on the list of phases and the list in time order: by the DICOM headers, else by
        numbers in the names.

        Raises InputError for a header that is broken.
        """
        from HER2ViTLib.mrml.inputs import header_times
        from HER2ViTLib.workflow.phase_order import phase_order

        unique = list(
            {node.GetID(): node for node in (*self.phaseNodes(parameters), *nodes) if node}.values()
        )
        told = header_times(unique, self._fileOfInstance())
        found = phase_order([node.GetName() for node in unique], told.order if told else None)
        with slicer.util.NodeModify(parameters):
            parameters.phases = [unique[n] for n in found.order]
            parameters.phaseOrder = found.rule

    def phaseOrderText(self, parameters):
        """How the phases came into their order, in words; empty without phases."""
        from HER2ViTLib.workflow.phase_order import ORDER_TEXTS

        return ORDER_TEXTS[parameters.phaseOrder] if len(self.phaseNodes(parameters)) > 1 else ""

    def _fileOfInstance(self):
        """The DICOM database's look-up of an image's file; a Slicer without DICOM support has none."""
        from HER2ViTLib.mrml.inputs import no_file

        database = getattr(slicer, "dicomDatabase", None)
        return database.fileForInstance if database and database.isOpen else no_file

    def phaseCount(self, parameters):
        return (
            parameters.sequence.GetNumberOfDataNodes()
            if parameters.sequence
            else len(self.phaseNodes(parameters))
        )

    def segmentIDs(self, segmentation):
        from HER2ViTLib.mrml.inputs import segment_names

        return list(segment_names(segmentation)) if segmentation else []

    def choices(self, parameters):
        from HER2ViTLib.workflow.choices import Choices

        return Choices(
            phases=self.phaseCount(parameters),
            early_phase=parameters.earlyPhase,
            segment=(
                parameters.segmentID
                if parameters.segmentID in self.segmentIDs(parameters.segmentation)
                else ""
            ),
            bundles=(parameters.task1Bundle, parameters.task2Bundle),
            device=parameters.device,
            method=parameters.attentionMethod,
        )

    def inputs(self, parameters):
        """What a reading would be made from now."""
        from HER2ViTLib.workflow.shown_reading import Inputs

        nodes = [*self.phaseNodes(parameters), parameters.sequence, parameters.segmentation]
        return Inputs(self.choices(parameters), tuple(node.GetID() for node in nodes if node))

    def readFrom(self, parameters):
        """What the shown reading was made from."""
        from HER2ViTLib.workflow.shown_reading import CAME_WITH_SCENE

        if parameters.resultTable is not self._readTable:
            # No run of ours filled this table.
            self._readTable = parameters.resultTable
            self._readFrom = CAME_WITH_SCENE
        return self._readFrom

    def outlineEdited(self, parameters):
        """Makes the shown reading one of a former outline."""
        self._readFrom = self.readFrom(parameters).with_outline_edited()

    def panelState(self, parameters, offered=None, row=-1):
        """All that the panel's looks depend on. `offered` is the volume in the selector beside the list of
        phases, `row` the selected line of that list.
        """
        from HER2ViTLib.mrml.results import reading_text
        from HER2ViTLib.workflow.panel_state import PanelState, SessionState
        from HER2ViTLib.workflow.shown_reading import shown_reading

        return PanelState(
            inputs=self.inputs(parameters),
            listed=tuple(node.GetID() for node in self.phaseNodes(parameters)),
            loaded=tuple(node.GetID() for node in self.loadedVolumes(parameters)),
            offered=offered.GetID() if offered else "",
            row=row,
            has_sequence=parameters.sequence is not None,
            has_seed=parameters.seed is not None,
            has_table=parameters.resultTable is not None,
            has_map=self.attentionNode(parameters) is not None,
            reading=shown_reading(reading_text(parameters.resultTable)),
            read_from=self.readFrom(parameters),
            session=SessionState(self.session.progress, self.session.finished) if self.session else None,
        )

    def study(self, parameters):
        """The chosen phases as a study. Raises InputError, one line, when they are none."""
        from HER2ViTLib.mrml.inputs import study_from_nodes, study_from_sequence
        from HER2ViTLib.workflow.phase_order import order_warning

        if parameters.sequence:
            return study_from_sequence(parameters.sequence)
        warnings = order_warning(parameters.phaseOrder)
        return study_from_nodes(self.phaseNodes(parameters), self._fileOfInstance(), warnings)

    def paintingNode(self, parameters):
        """The volume to outline the lesion on; None when no phase is a volume in the scene."""
        from HER2ViTLib.workflow.choices import painting_phase

        nodes = self.phaseNodes(parameters)
        if parameters.sequence or not nodes:
            return parameters.image
        return nodes[painting_phase(len(nodes), parameters.earlyPhase)]

    # Sample and demo models

    def loadSample(self, parameters):
        """Loads the bundled simulated case with its outline and chooses it, with the demo models."""
        from HER2ViTLib.mrml.inputs import segment_names
        from HER2ViTLib.sample import sample_phases, sample_roi

        phases = [
            slicer.util.loadVolume(str(path), {"name": f"Sample phase {n}", "show": n == 1})
            for n, path in enumerate(sample_phases())
        ]
        segmentation = slicer.util.loadSegmentation(str(sample_roi()))
        segmentation.SetName("Sample outline")
        for node in phases:
            # One window for all phases, to compare them, and as wide as the lesion, which the automatic one
            # shows as a white patch.
            node.GetDisplayNode().AutoWindowLevelOff()
            node.GetDisplayNode().SetWindowLevelMinMax(0, 400)
        # A filled outline would hide the attention map.
        segmentation.GetDisplayNode().SetVisibility2DFill(False)
        with slicer.util.NodeModify(parameters):
            parameters.phases = phases
            parameters.phaseOrder = "user"
            parameters.sequence = None
            parameters.earlyPhase = -1
            parameters.segmentation = segmentation
            # The sample's outline is one segment: there is nothing to guess.
            parameters.segmentID = next(iter(segment_names(segmentation)))
            self.chooseDemoModels(parameters)

    def chooseDemoModels(self, parameters):
        from HER2ViTLib.sample import demo_bundles

        parameters.task1Bundle, parameters.task2Bundle = (str(folder) for folder in demo_bundles())

    # Outlining

    def outlineFromSeed(self, parameters):
        """Outlines the lesion around the seed into our own segmentation and chooses it. Raises InputError."""
        from HER2ViTLib.lesion import outlining as lesion
        from HER2ViTLib.mrml.inputs import seed_lps
        from HER2ViTLib.study.phases import choose_phases

        study = self.study(parameters)
        chosen = choose_phases(study, None, self.choices(parameters).early_phase_override)
        early = chosen.early.index
        mask = lesion.outline(chosen.early_volume(study), chosen.pre_volume(study), seed_lps(parameters.seed))
        # Only an outline that this module made is filled again; a segmentation of the user's own stays as it
        # is.
        own = (
            parameters.segmentation
            if parameters.segmentation and parameters.segmentation.GetAttribute("HER2ViT.Outline")
            else None
        )
        self._chooseOutline(parameters, mask, study, early, own)

    def newOutline(self, parameters):
        """Makes an empty segment on the study's voxel grid and chooses it, to draw in. Raises InputError."""
        import numpy as np

        from HER2ViTLib.workflow.choices import painting_phase

        study = self.study(parameters)
        early = painting_phase(len(study.phases), parameters.earlyPhase)
        self._chooseOutline(parameters, np.zeros(study.geometry.shape, bool), study, early, None)

    def _chooseOutline(self, parameters, mask, study, early, segmentation):
        from HER2ViTLib.mrml import results as scene

        image = self._imageNode(parameters, study, early)
        if parameters.segmentation and parameters.segmentation is not segmentation:
            # Two outlines of one lesion look alike: only the one that will be read is shown.
            parameters.segmentation.SetDisplayVisibility(False)
        with slicer.util.NodeModify(parameters):
            segmentation = scene.put_segment(
                slicer.mrmlScene, mask, study.geometry, "Lesion outline", segmentation, reference=image
            )
            segmentation.SetAttribute("HER2ViT.Outline", "1")
            scene.put_beside(slicer.mrmlScene, [segmentation], image)
            parameters.image = image
            parameters.segmentation = segmentation
            parameters.segmentID = scene.LESION

    def _imageNode(self, parameters, study, phase):
        """The volume node of a phase; of a sequence, whose volumes no view can show, a copy of it."""
        from HER2ViTLib.mrml import results as scene

        if not parameters.sequence:
            return self.phaseNodes(parameters)[phase]
        former = (
            parameters.image if parameters.image and parameters.image.GetAttribute("HER2ViT.Copy") else None
        )
        node = scene.put_volume(slicer.mrmlScene, study.phases[phase].volume, "Early phase", former)
        node.SetAttribute("HER2ViT.Copy", "1")
        return node

    # Repeatability session: what happens when is decided in HER2ViTTrainingLib/session.py

    def ensureSessionPackages(self):
        """Whether the package that locks a session is there (torch brings it along); asks, then installs it
        if not.
        """
        if importlib.util.find_spec("filelock"):
            return True
        question = _(
            "A session needs a small Python package that is not installed yet: filelock. Download and install"
            " it now?"
        )
        if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Install packages")):
            return False
        with slicer.util.tryWithErrorDisplay(_("Installing packages failed."), waitCursor=True):
            self._installPackages(["filelock>=3.12"])
        return importlib.util.find_spec("filelock") is not None

    def openSession(self, parameters, path, reason=""):
        """Opens a read and shows its next case. `reason` is for opening it before its wash-out is over.
        Raises InputError.
        """
        from HER2ViTLib.session.session import Session

        session = Session(path)
        session.open(reason)
        self.session = session
        self.showSessionCase(parameters)

    def showSessionCase(self, parameters):
        """Loads the session's next case and chooses its phases, with nothing of the case before it; none when
        the read is finished.
        """
        case = self.session.next_case()
        # First: should the images not load, the former case's outline must not be saved as this one's.
        self._forgetSessionCase(parameters)
        phases = [slicer.util.loadVolume(str(path), {"show": False}) for path in self.session.images]
        for node in phases:
            node.SetAttribute("HER2ViT.Session", self.session.read.label)
        with slicer.util.NodeModify(parameters):
            parameters.phases = phases
            parameters.earlyPhase = -1 if case is None or case.early_phase is None else case.early_phase
        if phases:
            slicer.util.setSliceViewerLayers(background=self.paintingNode(parameters), fit=True)

    def _forgetSessionCase(self, parameters):
        """Chooses nothing, and removes what was loaded and outlined for the session's case before."""
        former = [node for node in self.phaseNodes(parameters) if node.GetAttribute("HER2ViT.Session")]
        if parameters.segmentation and parameters.segmentation.GetAttribute("HER2ViT.Outline"):
            former.append(parameters.segmentation)
        if parameters.seed:
            parameters.seed.RemoveAllControlPoints()
        with slicer.util.NodeModify(parameters):
            parameters.phases = []
            parameters.sequence = None
            parameters.segmentation = None
            parameters.segmentID = ""
        for node in former:
            slicer.mrmlScene.RemoveNode(node)

    def saveSessionOutline(self, parameters):
        """Keeps the chosen segment as the case's outline and shows the next case. Raises InputError."""
        from HER2ViTLib.mrml.inputs import segment_roi

        geometry = self.study(parameters).geometry
        self.session.save_outline(
            segment_roi(parameters.segmentation, parameters.segmentID, geometry).mask, geometry
        )
        self.showSessionCase(parameters)

    def skipSessionCase(self, parameters, reason):
        """Leaves the case out and shows the next one. Raises InputError without a reason."""
        self.session.skip(reason)
        self.showSessionCase(parameters)

    def closeSession(self):
        if self.session:
            self.session.close()
        self.session = None

    # Reading

    def ensureDependencies(self):
        """Whether everything a reading needs is there; asks once, then installs what is not. Never touches
        Slicer's own packages.
        """
        from HER2ViTLib.workflow import dependencies

        packages, torch = dependencies.missing_packages(), dependencies.missing_torch()
        if not (packages or torch):
            return True
        wanted = ", ".join([*(["torch, torchvision"] if torch else []), *packages])
        question = _(
            "Reading needs Python packages that are not installed yet: {packages}. Download and install them"
            " now?"
        ).format(packages=wanted)
        if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Install packages")):
            return False
        with slicer.util.tryWithErrorDisplay(_("Installing packages failed."), waitCursor=True):
            if torch and not self._installTorch():
                return False
            self._installPackages(packages)
        return True

    def _installTorch(self):
        try:
            import PyTorchUtils
        except ModuleNotFoundError:
            slicer.util.errorDisplay(
                _(
                    "torch comes through the PyTorch extension: install it with the Extensions Manager and"
                    " restart Slicer."
                )
            )
            return False
        return PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False) is not None

    def _installPackages(self, packages):
        from HER2ViTLib.workflow import dependencies

        if not packages:
            return
        with tempfile.TemporaryDirectory() as folder:
            constraints = Path(folder) / "constraints.txt"
            constraints.write_text(dependencies.protecting_constraints())
            slicer.util.pip_install(["--constraint", str(constraints), *packages])
        importlib.invalidate_caches()

    def run(self, parameters, progress=logging.info):
        """One reading of what is chosen: result table, attention maps, the slice in view. Raises InputError;
        then nothing has changed.
        """
        from HER2ViTLib.messages import InputError
        from HER2ViTLib.mrml.inputs import segment_roi

        started = time.monotonic()
        choices = self.choices(parameters)
        if choices.missing():
            raise InputError(choices.missing())
        progress(_("Fetching the images..."))
        study = self.study(parameters)
        roi = segment_roi(parameters.segmentation, parameters.segmentID, study.geometry)
        reader = self._models.reader(choices, progress)
        from HER2ViTLib.reading.reading import Overrides  # torch: only now

        progress(_("Reading..."))
        reading = reader.read(study, roi, Overrides(early_phase=choices.early_phase_override))
        self._show(parameters, reading, study)
        progress(_("Read in {seconds:.1f} s.").format(seconds=time.monotonic() - started))
        return reading

    def _show(self, parameters, reading, study):
        from HER2ViTLib.mrml import results as scene
        from HER2ViTLib.workflow.shown_reading import ReadFrom

        former = scene.ReadingNodes(
            parameters.resultTable, parameters.attentionTask1, parameters.attentionTask2
        )
        nodes = scene.put_reading(slicer.mrmlScene, reading, former)
        image = self._imageNode(parameters, study, reading.early_phase.index)
        neighbour = image if not parameters.sequence else parameters.sequence
        scene.put_beside(slicer.mrmlScene, [nodes.table, nodes.task1, nodes.task2], neighbour)
        self._readTable = nodes.table
        self._readFrom = ReadFrom(self.inputs(parameters))
        with slicer.util.NodeModify(parameters):
            parameters.image = image
            parameters.resultTable = nodes.table
            parameters.attentionTask1 = nodes.task1
            parameters.attentionTask2 = nodes.task2
            if self.attentionNode(parameters) is None:
                parameters.shownTask = TASKS[0] if nodes.task1 else TASKS[1]
            # Results may have changed inside nodes that stayed the same.
            parameters.Modified()
        self.showOverlay(parameters)
        self.jumpToSlice(parameters)

    # Showing

    def attentionNode(self, parameters):
        """The attention map of the task that is shown; None where there is none."""
        return parameters.attentionTask1 if parameters.shownTask == TASKS[0] else parameters.attentionTask2

    def sliceWidget(self):
        """The slice view that shows readings; None without a main window."""
        from HER2ViTLib.workflow.shown_reading import reading_view

        layoutManager = slicer.app.layoutManager()
        if layoutManager is None:
            return None
        widgets = {name: layoutManager.sliceWidget(name) for name in layoutManager.sliceViewNames()}
        return widgets.get(reading_view({name: widget.visible for name, widget in widgets.items()}))

    def showOverlay(self, parameters):
        """The image of the last reading with the attention map over it, in a slice view."""
        from HER2ViTLib.mrml.views import show_layers

        widget = self.sliceWidget()
        if widget and parameters.image:
            show_layers(
                widget.mrmlSliceCompositeNode(),
                parameters.image,
                self.attentionNode(parameters),
                parameters.attentionOpacity,
            )

    def jumpToSlice(self, parameters):
        """Turns the slice view to the slice that was read, the lesion in the middle."""
        from HER2ViTLib.mrml.inputs import volume_from_node
        from HER2ViTLib.mrml.views import show_patch

        widget = self.sliceWidget()
        attention = self.attentionNode(parameters)
        if widget and attention:
            show_patch(widget.mrmlSliceNode(), volume_from_node(attention).geometry)
