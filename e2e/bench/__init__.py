"""Measurements of single parts, by hand: their figures are printed, not asserted."""
