"""The house rules: floors, names, set-up, packaging."""
