"""Learners, late labels, attribution and the snapshots of plain numbers that serving reads."""
