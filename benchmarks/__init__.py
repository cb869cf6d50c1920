"""Studies of what distillation gains and what it costs: `python -m benchmarks.STUDY`."""
