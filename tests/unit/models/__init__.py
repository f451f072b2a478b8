"""Learners and what they publish, file by file."""
