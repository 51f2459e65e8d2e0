"""Prediction: images and streaming video."""
