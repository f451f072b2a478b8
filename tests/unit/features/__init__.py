"""Readings of a profile, one by one."""
