"""Pure science that several services share: cutouts, preprocessing, detectors, calibration, the simulated sky."""
