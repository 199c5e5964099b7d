"""Candidate heads of a fit, posed in their views and projected by cameras at a finite distance."""

from dataclasses import dataclass

from torch import Tensor

from mfnet.flame import Flame
from mfnet.geometry import perspective_divisor, project_orthographic, reference_depth
from mfnet.model.parameters import Prediction, View


@dataclass(frozen=True)
class Candidates:
    """K heads of one person in V views each.

    Portraits taken from an arm's length are wider at the nose than a scaled orthography can say: without perspective
    the shape would have to say it.
    """

    vertices: Tensor
    """[K, V, N, 3] metres, in the axes of each view."""
    landmarks: Tensor
    """[K, V, 68, 3] metres."""
    centre: Tensor
    """[K, V] `reference_depth`: where the cameras' scale holds, metres."""
    root: Tensor
    """[K, V, 3] joint that the global poses turn about, metres."""
    views: View
    """Of batch K."""

    @classmethod
    def of(cls, flame: Flame, prediction: Prediction) -> "Candidates":
        """The heads of a prediction of batch K."""
        views = prediction.views
        count = views.camera.shape[1]
        person = prediction.per_view().person.map(lambda code: code.flatten(0, 1))
        pose = views.global_pose.flatten(0, 1)
        output = flame(person.shape, person.expression, pose, jaw_pose=person.jaw_pose)
        landmarks, root = (part.unflatten(0, (-1, count)) for part in (output.landmarks, output.joints[:, 0]))
        return cls(output.vertices.unflatten(0, (-1, count)), landmarks, reference_depth(landmarks), root, views)

    def projected_landmarks(self) -> Tensor:
        """[K, V, 68, 2] ndc."""
        return self.project_all(self.landmarks)

    def project_all(self, points: Tensor) -> Tensor:
        """Points [K, V, M, 3] in the axes of each view -> [K, V, M, 2] ndc."""
        return project(points, self.views.camera, self.views.inverse_distance, self.centre)

    def project_in(self, view: Tensor, points: Tensor) -> Tensor:
        """Points [K, M, 3] in the axes of the views `view` [M] -> ndc [K, M, 2] there."""
        cameras = (self.views.camera[:, view], self.views.inverse_distance[:, view], self.centre[:, view])
        return project(points[:, :, None], *cameras)[:, :, 0]


def project(points: Tensor, camera: Tensor, inverse_distance: Tensor, centre: Tensor) -> Tensor:
    """Points [..., N, 3] -> ndc [..., N, 2] by cameras [..., 3] (s, tx, ty) at a finite distance.

    inverse_distance [...]: of the camera from `centre` [...], the depth at which s holds; 1/m, 0 is orthography.
    """
    divisor = perspective_divisor(points[..., 2], centre[..., None], inverse_distance[..., None])
    return project_orthographic(points, camera, divisor)[..., :2]
