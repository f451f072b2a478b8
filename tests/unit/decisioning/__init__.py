"""Deciding, rule by rule."""
