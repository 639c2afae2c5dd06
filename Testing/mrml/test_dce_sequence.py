"""A study of DICOM files as a sequence node: what is read of it is what is read of the files."""

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

from HER2ViTLib.files.hashes import VOXELS
from HER2ViTLib.lesion.masks import Roi
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.mrml.dce_sequence import put_study
from HER2ViTLib.mrml.inputs import INSTANCE_UIDS, study_from_nodes, study_from_sequence
from HER2ViTLib.mrml.results import put_volume
from HER2ViTLib.mrml.scene_file import new_scene
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.reading.report import reading_json
from HER2ViTLib.study.loading import load_study, study_of_dicom_files
from support.examinations import AXIAL, OBLIQUE, SAGITTAL, a_lesion, write_classic, write_multi_frame
from support.models import a_bundle_folder


class Database:
    """A DICOM database: which file has which instance."""

    def __init__(self, folder):
        self.files = sorted(path for path in folder.rglob("*") if path.is_file())

    def instance_of(self, path):
        return f"1.2.{self.files.index(path)}"

    def file_of(self, instance):
        return str(self.files[int(instance.rpartition(".")[2])])


@pytest.mark.parametrize("write", [write_classic, write_multi_frame])
@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, OBLIQUE])
def test_a_reading_of_the_sequence_is_the_reading_of_the_files(tmp_path, write, orientation):
    folder = write(tmp_path / "dicom", orientation)
    database = Database(folder)
    files = load_study(folder)
    sequence = put_study(new_scene(), study_of_dicom_files(database.files), "DCE", database.instance_of)
    assert sequence.GetNumberOfDataNodes() == 3
    assert [sequence.GetNthIndexValue(n) for n in range(3)] == ["0", "120", "210"]
    nodes = study_from_sequence(sequence, database.file_of)
    assert [phase.start_s for phase in nodes.phases] == [phase.start_s for phase in files.phases]
    assert [phase.duration_s for phase in nodes.phases] == [phase.duration_s for phase in files.phases]
    assert [phase.stored for phase in nodes.phases] == [phase.stored for phase in files.phases]
    assert (nodes.inputs, nodes.warnings, nodes.notes) == (files.inputs, files.warnings, files.notes)
    reader = Reader([load_bundle(a_bundle_folder(tmp_path / "bundle"))], "cpu")
    both = [reader.read(study, Roi(a_lesion()), case_id="C1") for study in (files, nodes)]
    of_files, of_nodes = map(reading_json, both)
    score = of_nodes["tasks"]["task1"].pop("score")
    assert score == pytest.approx(of_files["tasks"]["task1"].pop("score"), abs=1e-6)
    for name in ("slice", "early_phase", "inputs", "warnings", "notes"):
        assert of_nodes[name] == of_files[name]


def test_images_changed_in_the_scene_are_no_longer_those_of_the_files(tmp_path):
    database = Database(write_classic(tmp_path / "dicom"))
    sequence = put_study(new_scene(), study_of_dicom_files(database.files), "DCE", database.instance_of)
    voxels = slicer.vtkMRMLScalarVolumeNode.SafeDownCast(sequence.GetNthDataNode(1)).GetImageData()
    voxels.SetScalarComponentFromDouble(0, 0, 0, 0, 1000)
    voxels.Modified()
    study = study_from_sequence(sequence, database.file_of)
    assert {hashed.of for hashed in study.inputs} == {VOXELS}
    assert [phase.start_s for phase in study.phases] == [0, 120, 210]
    assert study.phases[0].stored == ()


def test_files_that_have_gone_take_nothing_but_their_places_along(tmp_path):
    database = Database(write_classic(tmp_path / "dicom"))
    sequence = put_study(new_scene(), study_of_dicom_files(database.files), "DCE", database.instance_of)
    study = study_from_sequence(sequence)
    assert study.phases[0].stored == ()
    assert study.inputs == load_study(tmp_path / "dicom").inputs
    assert np.array_equal(study.phases[1].volume.array, load_study(tmp_path / "dicom").phases[1].volume.array)


def test_volumes_that_came_in_one_by_one_know_where_their_slices_are(tmp_path):
    """As Slicer's own reader leaves them: each with the UIDs of its images, chosen in any order."""
    folder = write_classic(tmp_path / "dicom", SAGITTAL)
    database = Database(folder)
    files = load_study(folder)
    scene = new_scene()
    nodes = []
    for n in (2, 0, 1):
        phase = files.phases[n]
        node = put_volume(scene, phase.volume, f"phase {n}")
        instances = [database.instance_of(one.path) for one in phase.stored]
        node.SetAttribute(INSTANCE_UIDS, " ".join(instances))
        nodes.append(node)
    study = study_from_nodes(nodes, database.file_of)
    assert [phase.stored for phase in study.phases] == [files.phases[n].stored for n in (2, 0, 1)]
    assert [phase.start_s for phase in study.phases] == [210, 0, 120]
