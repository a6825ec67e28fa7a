"""Ray Serve deployments: engine replicas and the index owner."""
