"""HTTP routes, one file for each resource: read the request, ask a deployment, give back what it answers."""
