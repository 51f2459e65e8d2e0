"""Training: what a step optimises and how."""
