"""Closure test: what the chain finds from simulated observations, against what was simulated."""
