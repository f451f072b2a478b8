"""What single messages of other people mean, dialect by dialect."""
