"""What is kept on disk. No Ray, no HTTP here."""
