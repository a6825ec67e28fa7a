"""Pictures out of files: frames of videos and still images, from paths or over HTTP Range. No faces, no Ray here."""
