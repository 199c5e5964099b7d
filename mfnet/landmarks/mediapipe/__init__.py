"""MediaPipe's face detectors and Face Mesh V2 (Bazarevsky et al. 2019, Kartynnik et al. 2019; weights Apache-2.0,
Google), run by OpenCV: any photograph -> its faces, 478 points each -> 68 iBUG points."""
