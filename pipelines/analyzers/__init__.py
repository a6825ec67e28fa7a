"""Analyzers: what should be looked at in the library, found again and again, each thing once.

`base` says what an analyzer is, `registry` lists them, `sources` are what they read and how changes of it are seen,
`tools` is what they are given, `run` runs one. An analyzer is one file here and one line in `registry`.
"""
