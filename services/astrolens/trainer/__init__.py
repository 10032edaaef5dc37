"""The trainer: data set, backbone, detectors, calibration, export, evaluation, and the model bundle."""
