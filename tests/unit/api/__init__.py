"""The HTTP edge, piece by piece."""
