"""Scoring predictions by the published protocols."""
