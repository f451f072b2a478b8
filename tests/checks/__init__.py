"""One suite for each extension point, run over its whole roster."""
