"""The interest ranking: which images people may want to see, learned from their answers while they answer."""
