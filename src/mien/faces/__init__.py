"""Faces: classes, landmarks, boxes, crops, images, near-duplicates and detectors. Imports only `errors` and `runtime`."""
