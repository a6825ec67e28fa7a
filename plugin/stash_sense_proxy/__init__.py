"""The plugin's process: reads what the page asks, asks the Stash Sense server, answers in Stash's protocol."""

PLUGIN_ID = "stash-sense"
VERSION = "0.1.0"
"""Of plugin and server: both are released together."""
