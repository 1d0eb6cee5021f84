"""The cta-batch command, one module a group; heavy imports stay inside the commands."""
