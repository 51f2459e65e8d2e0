"""Converts the published files of data sets to the index: `run.prepare`, with one module per data set in `datasets`."""
