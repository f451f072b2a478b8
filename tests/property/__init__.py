"""Laws: what must hold for any input, searched by Hypothesis."""
