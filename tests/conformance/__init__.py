"""What every store must do, run on memory and on a real Redis."""
