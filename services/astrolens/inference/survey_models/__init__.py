"""Survey models: which images of a survey are learned from, the fit, the states, and earlier images judged again."""
