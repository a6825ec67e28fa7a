"""The work itself: faces, media, models and stores, and the runs that combine them.

Nothing here knows about HTTP routes or Ray Serve; `serve_app` imports this room, never the other way round.
"""
