"""The published formulations, plainly: the yardsticks of `make bench` and of tests/benchmarks.

Written from the papers' definitions (method.md, PointNet, DGCNN, PointNet++), in the layout that
convolution layers have, [B, C, N] and [B, C, N, k]. Each takes the parameters and running
statistics from one of this library's own layers, so that both sides can be compared number by
number.
"""
