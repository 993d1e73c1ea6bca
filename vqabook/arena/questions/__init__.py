"""The contest on questions about images: rules against language priors, where answers' priors change and where not."""
