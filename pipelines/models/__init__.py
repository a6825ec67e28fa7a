"""Model files on disk: converting, fetching and verifying what the packs name. No inference on photos here."""
