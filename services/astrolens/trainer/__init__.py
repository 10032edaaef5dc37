"""The trainer: data sets, backbone, detectors and calibration, export, evaluation, and the bundle that holds them."""
