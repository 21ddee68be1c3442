"""Side-by-side benchmarks: this system and its peers on the same servers, in one run. `python -m bench`."""
