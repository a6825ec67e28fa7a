"""The online side: Ray Serve deployments, HTTP routes and the command line. May import `pipelines`."""
