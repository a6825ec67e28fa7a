"""Enrolment: faces of known people into the performer database, from folders, the owner's Stash and stash-boxes."""
