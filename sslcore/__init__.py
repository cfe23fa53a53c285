"""Triptych's science: MoCo, SimCLR and BYOL trained, probed and kept as folders."""
