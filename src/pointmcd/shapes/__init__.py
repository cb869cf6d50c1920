"""3D things come in: meshes and clouds read, checked and normalised; surfaces sampled."""
