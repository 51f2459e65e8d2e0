"""The metrics themselves: arrays and numbers in, numbers out."""
