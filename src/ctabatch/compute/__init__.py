"""Search for compute resources."""
