"""Modules and functions that replace the plain ones of `uniref.model` for inference, chosen once for a device."""
