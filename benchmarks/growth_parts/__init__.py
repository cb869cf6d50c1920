"""What `python benchmarks/growth.py` measures, a file for each kind of cost."""
