"""Which scenes show the same footage: candidates from what is stored, proof from the pictures, groups and keepers.

Pure of Ray and of Stash's API: numbers and files in, records out. Who asks Stash and spreads the work is
`pipelines.analyzers.duplicate_scenes`.
"""
