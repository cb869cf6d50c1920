"""What `make bench` measures, one file for each kind of part; every file offers `races()`."""
