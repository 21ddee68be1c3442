"""The faults, each as a small injection with the proof that it happened."""
