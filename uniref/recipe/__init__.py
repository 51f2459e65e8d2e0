"""Typed configuration (pydantic only; importing it never loads torch)."""
