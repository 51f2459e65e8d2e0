"""From the published files of a data set to its index: one module a data set, `run.prepare` for all of them."""
