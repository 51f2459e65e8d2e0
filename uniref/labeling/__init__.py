"""The label page: point, look and correct, with the same tracker as `predict`."""
