"""The web tag and the demo's shop in a real browser, against a running system."""
