"""How the two rooms are placed on machines: Serve configs, images and entry points."""
