"""The tests, grouped as the code is: each folder says what kind of proof it holds."""
