"""The measures themselves: arrays and numbers in, numbers out."""
