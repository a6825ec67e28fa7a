"""Stash, the server that owns the library: its GraphQL API as typed calls. No faces, no media, no database here.

`connect.open_library(settings)` is the door. `graphql` sends, `fields` chooses what to ask for by what the server
knows; `reading`, `editing`, `combining` and `library` are the calls, `records` what they return, `parse` the one place
where Stash's names become ours. `limiter` holds every process of a cluster to one rate (`shared_limiter` by Ray).
"""
