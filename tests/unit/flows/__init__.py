"""The thin edges around the engine."""
