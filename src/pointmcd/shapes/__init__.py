"""Meshes and point clouds: read, check, normalise and sample them."""
