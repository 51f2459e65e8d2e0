"""One module per data set: its converter and its catalogue entry (`DATASETS`)."""
